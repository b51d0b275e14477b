"""Both kinds of store, and small candidates to publish."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from decant.models.graph import OPSET
from decant.params import parse_params
from decant.release.candidate import Parts, assemble
from decant.release.registry import Registry
from decant.release.s3 import S3Store
from decant.release.store import LocalStore, Store

BUCKET = "releases"  # the one that s3_endpoint has
EXTRA = {"dvc.lock": b"stages: {}\n", "params.yaml": b"{}\n", "provenance.json": b"{}\n"}
PARAMS = parse_params(
    {
        "students": {
            "general": {"init": "teacher"},
            "women": {"init": "general", "where": "gender == 'F'"},
            "men": {"init": "general", "where": "gender == 'M'"},
            "tiny": {"init": "general", "where": "age > 99"},
        }
    }
)
ROUTER = {
    "students": {
        "women": {"where": "gender == 'F'", "priority": 0},
        "men": {"where": "gender == 'M'", "priority": 0},
    },
    "folded": ["tiny"],
}
_numbers = itertools.count()

MakeParts = Callable[..., Parts]
MakeCandidate = Callable[..., Path]


@pytest.fixture(autouse=True)
def _nobody(aws: None) -> None:
    """No test reaches anybody's account."""


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, once of each kind."""
    if request.param == "local":
        return LocalStore(tmp_path / "registry")
    return S3Store(BUCKET, f"case-{next(_numbers)}", request.getfixturevalue("s3_endpoint"))


@pytest.fixture
def registry(store: Store) -> Registry:
    """An empty registry, once on each kind of store."""
    return Registry(store)


def write_parts(
    folder: Path,
    *,
    model: str = "model",
    passed: Any = True,
    ships: tuple[str, ...] = ("women",),
    ndcg: float = 0.4,
) -> Parts:
    """Write what the pipeline makes before the candidate."""
    for student in ("general", "women", "men"):
        bundle(folder / "compressed" / student / "int8", f"{model} of {student}")
    segments = {s: {"ships": s in ships, "reason": f"why {s}"} for s in ("women", "men")}
    check = {"name": "retention", "value": 0.8, "threshold": 0.9, "why": "family ÷ teacher"}
    write(folder / "router.json", ROUTER)
    write(folder / "encoder.json", {"items": 3})
    checks = [{**check, "passed": passed}]
    write(folder / "verdict.json", {"passed": passed, "checks": checks, "segments": segments})
    write(folder / "metrics.json", {"k": 10, "ndcg": ndcg})
    write(folder / "raw.json", {"views.csv": hashlib.sha256(b"user,item").hexdigest()})
    return Parts(
        bundles=folder / "compressed",
        router=folder / "router.json",
        encoder=folder / "encoder.json",
        verdict=folder / "verdict.json",
        metrics=folder / "metrics.json",
        raw=folder / "raw.json",
    )


@pytest.fixture
def make_parts(tmp_path: Path) -> MakeParts:
    """Write what the pipeline makes before the candidate: `make(folder, text, …)`."""

    def make(name: str = "data", **settings: Any) -> Parts:
        return write_parts(tmp_path / name, **settings)

    return make


@pytest.fixture(scope="session")
def assemble_candidate() -> Callable[..., Path]:
    """Assemble a candidate in a folder; the same settings give the same id."""

    def make(folder: Path, **settings: Any) -> Path:
        number = next(_numbers)
        candidate = folder / f"candidate-{number}"
        candidate.mkdir()
        assemble(write_parts(folder / f"data-{number}", **settings), PARAMS, candidate)
        return candidate

    return make


@pytest.fixture
def make_candidate(assemble_candidate: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Assemble a candidate; the same arguments give the same id."""

    def make(**settings: Any) -> Path:
        return assemble_candidate(tmp_path, **settings)

    return make


@pytest.fixture
def publish(registry: Registry, make_candidate: MakeCandidate) -> Callable[..., str]:
    """Publish a candidate made with the given settings; returns its id."""

    def make(**settings: Any) -> str:
        failed_too = settings.get("passed", True) is not True
        return registry.publish(make_candidate(**settings), EXTRA, failed_too=failed_too)

    return make


def bundle(folder: Path, text: str) -> None:
    """Write one compressed student."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("model.onnx", "config.json", "items.json", "metrics.json", "model.safetensors")
    for name in names:
        (folder / name).write_text(json.dumps(f"{name} of {text}"))
    (folder / "model.onnx").write_bytes(graph(text))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    write(folder / "manifest.json", {"files": files})


def graph(text: str) -> bytes:
    """A graph that may be served; another text is another one."""
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["batch"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch"])
    cast = helper.make_node("Cast", ["items"], ["scores"], to=TensorProto.FLOAT)
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_graph([cast], "cast", [items], [scores])
    model = helper.make_model(made, opset_imports=opsets, ir_version=10, producer_version=text)
    return bytes(model.SerializeToString())


def write(path: Path, content: Any) -> None:
    """Write JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
