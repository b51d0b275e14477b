"""A family of tiny models whose right answers NumPy can compute, and releases of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decant.features.encode import Attribute, Encoder
from decant.models import bundle
from decant.models.graph import OPSET
from decant.params import Params, parse_params
from decant.release.candidate import Parts, assemble
from decant.release.registry import Registry, open_registry
from decant.serving.attempt import attempt
from decant.serving.engine import Family
from decant.serving.loading import Source
from decant.serving.preload import Preload

N = 12
ITEMS = tuple(f"item-{i:02}" for i in range(1, N + 1))
ENCODER = Encoder(
    items=ITEMS,
    behaviours=("view", "cart", "purchase"),
    attributes={"gender": Attribute(values=("F", "M")), "age": Attribute(edges=(25.0, 40.0))},
    max_length=4,
    merge_window=60.0,
    exclude_seen=True,
    rating_edges=(2.0, 4.0),
)
RULES = {
    "women": {"where": "gender == 'F'", "priority": 10},
    "readers": {"where": "history_length >= 3", "priority": 5},
}
SIZES = {"behaviours": 4, "gaps": 9, "attributes": 4}
EVENT_INPUTS = ("items", "behaviours", "gaps")


@dataclass(frozen=True)
class Tables:
    """The weights of one tiny model: a row of N + 1 scores for each index of each input."""

    rows: dict[str, np.ndarray]
    last: np.ndarray

    def scores(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """What the graph computes: the sum of all rows, and more for the last item."""
        total = self.last[batch["items"][:, -1]]
        for name, rows in self.rows.items():
            total = total + rows[batch[name]].sum(axis=1)
        return total


def make_tables(seed: int) -> Tables:
    draw = np.random.default_rng(seed)
    sizes = {"items": N + 1, **SIZES}
    rows = {name: draw.normal(size=(size, N + 1)) for name, size in sizes.items()}
    for table in rows.values():
        table[0] = 0  # padding and unknown attributes count nothing
    rows = {name: table.astype(np.float32) for name, table in rows.items()}
    return Tables(rows, (3 * draw.normal(size=(N + 1, N + 1))).astype(np.float32))


def make_graph(tables: Tables) -> bytes:
    """The model as ONNX, made without any training library and of operators that may be served."""
    weights = [
        numpy_helper.from_array(np.array([1]), "axis"),
        numpy_helper.from_array(np.array(-1), "end"),
        numpy_helper.from_array(tables.last, "last_rows"),
    ]
    nodes = [
        helper.make_node("Gather", ["items", "end"], ["last_item"], axis=1),
        helper.make_node("Gather", ["last_rows", "last_item"], ["total_0"]),
    ]
    for number, (name, rows) in enumerate(tables.rows.items()):
        weights.append(numpy_helper.from_array(rows, f"{name}_rows"))
        nodes += [
            helper.make_node("Gather", [f"{name}_rows", name], [f"{name}_each"]),
            helper.make_node("Equal", [name, name], [f"{name}_true"]),
            helper.make_node("Cast", [f"{name}_true"], [f"{name}_ones"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{name}_ones", "axis"], [f"{name}_row"]),
            helper.make_node("MatMul", [f"{name}_row", f"{name}_each"], [f"{name}_sums"]),
            helper.make_node("Squeeze", [f"{name}_sums", "axis"], [f"{name}_sum"]),
            helper.make_node("Add", [f"total_{number}", f"{name}_sum"], [f"total_{number + 1}"]),
        ]
    nodes[-1].output[0] = "scores"
    shapes = {name: ["batch", "length"] for name in EVENT_INPUTS} | {"attributes": ["batch", 2]}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shapes[name]) for name in tables.rows
    ]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", N + 1])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


Graph = Callable[[Tables], bytes]


def heavy(size: int, times: int) -> Graph:
    """The same models, which make a square of `size` rows besides, so many times its own product.

    Of operators that may be served: a long product alone makes a graph that does not end.
    """

    def make(tables: Tables) -> bytes:
        model = onnx.load_from_string(make_graph(tables))
        numbers = {"zero": 0, "one": 1, "size": size, "first": 0}
        weights = [numpy_helper.from_array(np.array(n), name) for name, n in numbers.items()]
        weights.append(numpy_helper.from_array(np.array([0]), "start"))
        weights.append(numpy_helper.from_array(np.array([N + 1]), "stop"))
        model.graph.initializer.extend(weights)
        model.graph.node[-1].output[0] = "light"
        nodes = [
            helper.make_node("Range", ["zero", "size", "one"], ["whole"]),
            helper.make_node("Cast", ["whole"], ["row"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["row", "axis"], ["column"]),
            helper.make_node("Sub", ["row", "column"], ["square_0"]),
            *(
                helper.make_node("MatMul", [f"square_{n}", "square_0"], [f"square_{n + 1}"])
                for n in range(times)
            ),
            helper.make_node("Gather", [f"square_{times}", "first"], ["edge"]),
            helper.make_node("Slice", ["edge", "start", "stop"], ["part"]),
            helper.make_node("Add", ["light", "part"], ["scores"]),
        ]
        model.graph.node.extend(nodes)
        return bytes(model.SerializeToString())

    return make


ENDLESS = heavy(4000, 200)
HUGE = heavy(40_000, 1)


def write_student(
    folder: Path, tables: Tables, items: tuple[str, ...] = ITEMS, graph: bytes | None = None
) -> None:
    bundle.write_text_files(folder, {"inputs": list(tables.rows)}, items, {"ndcg@10": 0.5})
    (folder / bundle.GRAPH).write_bytes(make_graph(tables) if graph is None else graph)
    bundle.seal(folder)


def write_family(
    folder: Path,
    seed: int = 1,
    students: tuple[str, ...] = ("general", "women"),
    encoder: Encoder = ENCODER,
) -> dict[str, Tables]:
    """Write what a family is loaded from; returns each student's weights."""
    tables = {name: make_tables(seed * 10 + i) for i, name in enumerate(students)}
    for name, weights in tables.items():
        write_student(folder / "students" / name, weights)
    encoder.save(folder / "encoder.json")
    router = {"students": RULES, "folded": ["readers"]}
    (folder / "router.json").write_text(json.dumps(router))
    return tables


@dataclass(frozen=True)
class Tiny:
    """A family in memory and the weights of its models."""

    family: Family
    tables: dict[str, Tables]
    folder: Path

    def answer(self, batch: dict[str, Any], student: str = "general", k: int = 3) -> list[str]:
        """The right top k for indices of one request, unseen items only."""
        arrays = {name: np.array([row]) for name, row in batch.items()}
        scores = self.tables[student].scores(arrays)[0]
        scores[[0, *batch["items"]]] = -np.inf
        return [ITEMS[i - 1] for i in np.argsort(-scores, kind="stable")[:k]]

    def rewrite(self, student: str, **changes: Any) -> None:
        """Write a student's bundle again with other `items` or another `graph`."""
        write_student(self.folder / "students" / student, self.tables[student], **changes)

    def graph(self, student: str = "general") -> bytes:
        """A student's graph."""
        return make_graph(self.tables[student])

    def with_encoder(self, **changes: Any) -> Family:
        """The same models behind another encoder."""
        replace(ENCODER, **changes).save(self.folder / "encoder.json")
        return Family(self.folder, "0123456789abcdef")


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """general and women; the rule of `readers` has no student of its own."""
    tables = write_family(tmp_path / "family")
    return Tiny(Family(tmp_path / "family", "0123456789abcdef"), tables, tmp_path / "family")


PARAMS = """
registry: {folder: registry}
students:
  general: {init: teacher}
  women: {init: general, where: "gender == 'F'", priority: 10}
"""
SETTINGS: dict[str, Any] = {
    "students": {
        "general": {"init": "teacher"},
        "women": {"init": "general", "where": "gender == 'F'", "priority": 10},
    }
}


class InThisProcess(Preload):
    """What another process would answer, without one."""

    def _answer(self, release: str, job: str) -> dict[str, Any]:
        return attempt(json.loads(job))


@dataclass(frozen=True)
class Shop:
    """A project's folder with a local registry."""

    root: Path
    registry: Registry
    graph: Graph = make_graph

    @property
    def source(self) -> Source:
        """Tries releases in this process, which is faster: the same, but for its bounds."""
        return Source(self.registry, "production", self.root / "cache", InThisProcess(60, 4096))

    def bounded(self, seconds: float = 60, memory_mb: int = 2048) -> Source:
        """Tries them as a service does."""
        return replace(self.source, preload=Preload(seconds, memory_mb))

    def publish(self, seed: int, graph: Graph = make_graph) -> str:
        """Publish a release; another seed is another one. Returns its id."""
        work = self.root / f"work-{seed}"
        if not work.exists():
            candidate(work, seed, parse_params(SETTINGS), graph)
        return self.registry.publish(work / "candidate", {"provenance.json": b"{}\n"})

    def promote(self, seed: int, graph: Graph = make_graph) -> str:
        """Publish a release and put it into production."""
        return self.registry.promote(self.publish(seed, graph)).release

    def promote_endless(self, seed: int) -> str:
        """The same of one that cannot be loaded within any time."""
        return self.promote(seed, ENDLESS)

    def promote_huge(self, seed: int) -> str:
        """The same of one that takes more than 6 GB to load."""
        return self.promote(seed, HUGE)


def candidate(work: Path, seed: int, params: Params, graph: Graph) -> None:
    """Assemble a candidate as the pipeline does."""
    for i, name in enumerate(("general", "women")):
        tables = make_tables(seed * 10 + i)
        write_student(work / "compressed" / name / "int8", tables, graph=graph(tables))
    ENCODER.save(work / "encoder.json")
    rules = {"women": RULES["women"]}
    verdict = {"passed": True, "checks": [], "segments": {"women": {"ships": True, "reason": ""}}}
    contents = {
        "router": {"students": rules, "folded": []},
        "verdict": verdict,
        "metrics": {"protocol": {}},
        "raw": {"views.csv": "0" * 64},
    }
    for name, content in contents.items():
        (work / f"{name}.json").write_text(json.dumps(content))
    (work / "candidate").mkdir()
    parts = Parts(
        bundles=work / "compressed",
        router=work / "router.json",
        encoder=work / "encoder.json",
        verdict=work / "verdict.json",
        metrics=work / "metrics.json",
        raw=work / "raw.json",
    )
    assemble(parts, params, work / "candidate")


@pytest.fixture(scope="session")
def open_shop() -> Callable[[Path], Shop]:
    """Open a project in a folder; one that is there already is the same."""

    def open_at(root: Path) -> Shop:
        root.mkdir(exist_ok=True)
        (root / "params.yaml").write_text(PARAMS)
        return Shop(root, open_registry(parse_params(SETTINGS).registry, root))

    return open_at


@pytest.fixture
def shop(tmp_path: Path, open_shop: Callable[[Path], Shop]) -> Shop:
    """A project that has published nothing yet."""
    return open_shop(tmp_path / "shop")


@pytest.fixture(scope="module")
def shared_shop(
    tmp_path_factory: pytest.TempPathFactory, open_shop: Callable[[Path], Shop]
) -> Shop:
    """A project with a release in production, for all tests of a module."""
    shop = open_shop(tmp_path_factory.mktemp("shared") / "shop")
    shop.promote(1)
    return shop
