"""One set of checks that every kind of model passes: teacher, student, pruned, int8."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from decant.compression.prune import Importance, blocks_of, prune
from decant.compression.quantize import quantize_int8
from decant.evaluation.scoring import OnnxScorer
from decant.features.sequences import Cases, Sequences, histories
from decant.models import bundle
from decant.models.build import load_model, save_model
from decant.models.experts import ExpertShape
from decant.models.export import export_onnx, input_names
from decant.models.recommender import Architecture, Recommender
from decant.params.types import EXPERTS
from decant.runtime import graph_check
from decant.runtime.session import Model
from decant.training.validate import TorchScorer, to_tensors

torch.set_num_threads(1)
REPOSITORY = Path(__file__).resolve().parents[3]
ITEMS, LENGTH, TEXT = 30, 8, 5
INPUTS = ("items", "behaviours", "ratings", "gaps", "lags", "ages")
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


@dataclass(frozen=True)
class Subject:
    """A model under test: its bundle, and the weights in torch that it was made from."""

    folder: Path
    torch: Recommender

    @property
    def graph(self) -> Model:
        return Model(self.folder / bundle.GRAPH)


def shape(**changes: Any) -> Architecture:
    everything: dict[str, Any] = {
        "items": ITEMS,
        "dimension": 16,
        "heads": (2, 2),
        "head_width": 8,
        "hidden": (24, 24),
        "max_length": LENGTH,
        "inputs": ("item", "text", "behaviour", "rating", "gap", "clock", "attributes"),
        "behaviours": 4,
        "ratings": 5,
        "gaps": 9,
        "attribute_sizes": (3, 5),
        "vector_widths": (("text", TEXT),),
        "dropout": 0.1,
    }
    return Architecture(**{**everything, **changes})


def some_model(architecture: Architecture, seed: int) -> Recommender:
    """A model whose every weight differs from zero, so that all of them matter."""
    torch.manual_seed(seed)
    model = Recommender(architecture, {"text": torch.randn(architecture.items + 1, TEXT)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def with_counts(model: Recommender) -> Recommender:
    """The model with random tables and gates."""
    experts = model.experts
    assert experts is not None
    experts.levels.random_(150, 256)
    tables = experts.places.view(ITEMS + 1, len(experts.shape.tables), -1)
    tables.random_(1, ITEMS + 1)
    tables += (ITEMS + 1) * torch.arange(tables.shape[1], dtype=tables.dtype)[:, None]
    experts.left.random_(-127, 128)
    experts.popular.random_(200, 256)
    experts.step.fill_(0.01)
    experts.right.random_(-127, 128)
    experts.right[:, 0] = 0
    for buffer in (experts.inner, experts.outer, experts.base, experts.mean):
        buffer.normal_(std=0.3)
    return model


def write(model: Recommender, folder: Path) -> Path:
    items = tuple(f"item {i}" for i in range(1, ITEMS + 1))
    save_model(model, folder, items, {"ndcg": 0.5})
    export_onnx(model, folder / bundle.GRAPH)
    bundle.seal(folder)
    return folder


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Subject]:
    root = tmp_path_factory.mktemp("bundles")
    teacher = some_model(shape(), 1)
    student = some_model(shape(heads=(2,), hidden=(16,), inputs=("item", "text", "behaviour")), 2)
    whole = some_model(shape(heads=(2,), hidden=(24,), inputs=("item", "behaviour")), 3)
    halves = Importance(
        [torch.rand(b.attention.heads) for b in blocks_of(whole)],
        [torch.rand(b.feed.up.out_features) for b in blocks_of(whole)],
    )
    timeless = ("item", "text", "behaviour", "rating", "gap", "attributes")
    cloze = some_model(shape(objective="masked", inputs=timeless), 4)
    everything = ExpertShape(EXPERTS, successors=3, factors=4, clock=True)
    counting = with_counts(some_model(shape(experts=everything), 5))
    models = {
        "teacher": teacher,
        "student": student,
        "pruned": prune(whole, halves, 0.5, 0.5),
        "masked": cloze,
        "experts": counting,
    }
    made = {name: Subject(write(model, root / name), model) for name, model in models.items()}
    int8 = root / "int8"
    config = {"architecture": models["pruned"].architecture.to_dict()}
    items = tuple(bundle.read_json(root / "pruned", bundle.ITEMS))
    bundle.write_text_files(int8, config, items, {"ndcg": 0.5})
    quantize_int8(root / "pruned" / bundle.GRAPH, int8 / bundle.GRAPH)
    bundle.seal(int8)
    return {**made, "int8": Subject(int8, models["pruned"])}


@pytest.fixture(scope="module")
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    rng = np.random.default_rng(0)
    users = [rng.integers(1, ITEMS + 1, length).tolist() for length in [2, 3, 5, 9, 12] * 6]
    made = make_sequences(users, attributes=rng.integers(0, (3, 5), (len(users), 2)))
    events = len(made.items)
    return replace(
        made,
        behaviours=rng.integers(1, 4, events).astype(np.int8),
        ratings=rng.integers(0, 5, events).astype(np.int8),
        gaps=rng.integers(0, 9, events).astype(np.int8),
        baskets=np.arange(events) // 3 + np.repeat(np.arange(len(users)), np.diff(made.offsets)),
    )


@pytest.fixture(scope="module")
def last(sequences: Sequences) -> Cases:
    """Predict every user's last event."""
    return Cases(np.arange(sequences.users), np.asarray(sequences.offsets[1:]) - 1)


def best(scores: np.ndarray, k: int = 10) -> list[set[int]]:
    return [set(row.tolist()) for row in np.argsort(-scores[:, 1:], axis=1)[:, :k]]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    pairs = zip(best(a), best(b), strict=True)
    return float(np.mean([len(x & y) / len(x) for x, y in pairs]))


class ModelContract:
    """What is asked of every model; a subclass says which one it is."""

    name: str
    exact = True  # float32: scores are equal, not only alike

    @pytest.fixture
    def subject(self, subjects: dict[str, Subject]) -> Subject:
        return subjects[self.name]

    def agree(self, a: np.ndarray, b: np.ndarray) -> None:
        if self.exact:
            np.testing.assert_allclose(a, b, atol=1e-4)
        else:
            ranks = [np.argsort(np.argsort(x[:, 1:], axis=1), axis=1) for x in (a, b)]
            correlation = [np.corrcoef(x, y)[0, 1] for x, y in zip(*ranks, strict=True)]
            assert np.mean(correlation) > 0.98
            assert overlap(a, b) > 0.9

    def test_every_item_gets_a_finite_score(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        scores = OnnxScorer(subject.graph, LENGTH)(sequences, last)
        assert scores.shape == (len(last), ITEMS + 1)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_the_history_matters(self, subject: Subject, sequences: Sequences, last: Cases) -> None:
        scores = OnnxScorer(subject.graph, LENGTH)(sequences, last)
        assert overlap(scores, np.roll(scores, 1, axis=0)) < 0.9

    def test_a_batch_scores_like_its_cases_one_by_one(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        scorer = OnnxScorer(subject.graph, LENGTH)
        single = [scorer(sequences, last.take(np.array([row]))) for row in range(len(last))]
        self.agree(scorer(sequences, last), np.concatenate(single))

    def test_padding_on_the_left_makes_no_difference(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        padded = OnnxScorer(subject.graph, LENGTH)(sequences, last)
        bare = OnnxScorer(subject.graph, LENGTH, as_served=True)(sequences, last)
        self.agree(padded, bare)

    def test_the_graph_agrees_with_torch(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        exported = OnnxScorer(subject.graph, LENGTH)(sequences, last)
        self.agree(exported, TorchScorer(subject.torch)(sequences, last))

    def test_an_empty_history_gives_finite_scores(self, subject: Subject) -> None:
        batch = {name: np.zeros((1, 1), dtype=np.int64) for name in INPUTS}
        batch["attributes"] = np.zeros((1, 2), dtype=np.int64)
        assert np.isfinite(subject.graph.scores(batch)).all()

    def test_the_graph_reads_what_the_model_reads(self, subject: Subject) -> None:
        assert subject.graph.inputs == input_names(subject.torch)

    def test_the_config_rebuilds_the_model(self, subject: Subject) -> None:
        config = bundle.read_json(subject.folder, bundle.CONFIG)
        rebuilt = Architecture.from_dict(config["architecture"])
        assert rebuilt == subject.torch.architecture
        expected = {name: t.shape for name, t in subject.torch.state_dict().items()}
        assert {n: t.shape for n, t in Recommender(rebuilt).state_dict().items()} == expected

    def test_the_exported_bytes_hold_no_path_of_this_machine(self, subject: Subject) -> None:
        content = (subject.folder / bundle.GRAPH).read_bytes()
        places = [str(REPOSITORY), str(Path.home()), str(subject.folder), "site-packages"]
        assert [place for place in places if place.encode() in content] == []
        assert not re.search(rb"\.py\b", content)

    def test_no_file_of_the_bundle_is_a_pickle(self, subject: Subject) -> None:
        files = list(subject.folder.iterdir())
        assert {p.suffix for p in files} <= {".json", ".onnx", ".safetensors"}
        assert not [p for p in files if p.read_bytes()[:4].startswith(PICKLES)]

    def test_a_bundle_is_refused_after_one_byte_changed(
        self, subject: Subject, tmp_path: Path
    ) -> None:
        bundle.check(subject.folder)
        for name in (p.name for p in subject.folder.iterdir() if p.name != bundle.MANIFEST):
            copy = tmp_path / name
            copy.mkdir()
            for path in subject.folder.iterdir():
                (copy / path.name).write_bytes(path.read_bytes())
            content = bytearray((copy / name).read_bytes())
            content[len(content) // 2] ^= 1
            (copy / name).write_bytes(content)
            with pytest.raises(bundle.BundleError, match=f"{name} was changed"):
                bundle.check(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"items": 70_000},
        {"items": 1, "objective": "masked"},
        {"items": 70_000, "experts": ExpertShape(("basket", "popularity"), 2, 2, False)},
        {"items": 2, "experts": ExpertShape(("chain",), 1, 0, True)},
        {"items": 2, "experts": ExpertShape(("popularity",), 1, 0, True)},
        {"items": 2, "experts": ExpertShape(("recency",), 1, 0, False)},
        {"items": 9, "experts": ExpertShape(EXPERTS, 2, 2, True, gated=False)},
    ],
)
def test_a_catalogue_of_any_size_makes_graphs_that_may_be_run(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    small = shape(
        **{"dimension": 4, "heads": (1,), "head_width": 4, "hidden": (4,), "max_length": 2},
        **{"inputs": ("item", "attributes"), "vector_widths": (), **changes},
    )
    export_onnx(Recommender(small).eval(), tmp_path / "float32.onnx")
    quantize_int8(tmp_path / "float32.onnx", tmp_path / "int8.onnx")
    for name in ("float32", "int8"):
        Model(tmp_path / f"{name}.onnx")


def test_what_our_graphs_are_made_of_is_all_that_may_be_run(
    subjects: dict[str, Subject], tmp_path: Path
) -> None:
    made = []
    for name, subject in subjects.items():
        files = [subject.folder / bundle.GRAPH]
        if name != "int8":
            files.append(tmp_path / f"{name}.onnx")
            quantize_int8(files[0], files[1])
        made += [onnx.load(file) for file in files]
    wide = ExpertShape(EXPERTS[:1], successors=1, factors=0, clock=False)
    export_onnx(some_model(shape(items=2**15, experts=wide), 6), tmp_path / "wide.onnx")
    made.append(onnx.load(tmp_path / "wide.onnx"))
    nodes = [node for model in made for node in model.graph.node]
    assert {node.op_type for node in nodes} | graph_check.FORMER == graph_check.OPERATORS
    assert {a.type for node in nodes for a in node.attribute} == set(graph_check.ATTRIBUTES)
    assert {w.data_type for model in made for w in model.graph.initializer} == set(
        graph_check.WIDTHS
    )
    for model in made:
        graph_check.check_graph(model.SerializeToString())


def test_gates_are_as_exact_in_int8_as_in_floats(
    subjects: dict[str, Subject], sequences: Sequences, last: Cases, tmp_path: Path
) -> None:
    """Signals whose spread differs by far; the network and the tables say nothing."""
    model = copy.deepcopy(subjects["experts"].torch)
    experts = model.experts
    assert experts is not None
    with torch.no_grad():
        model.bias.zero_()
        model.item.weight.zero_()
        for kind in model.vectors:
            kind.projection.weight.zero_()
    experts.spread.copy_(torch.logspace(-3, 1, len(experts.spread)))
    export_onnx(model, tmp_path / "float32.onnx")
    quantize_int8(tmp_path / "float32.onnx", tmp_path / "int8.onnx")
    one, other = (
        OnnxScorer(Model(tmp_path / f"{name}.onnx"), LENGTH)(sequences, last)
        for name in ("float32", "int8")
    )
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


class TorchContract(ModelContract):
    """What is asked of a model with weights besides."""

    def test_a_saved_model_is_loaded_as_it_was(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        loaded = load_model(subject.folder)
        np.testing.assert_array_equal(
            TorchScorer(loaded)(sequences, last), TorchScorer(subject.torch)(sequences, last)
        )

    def test_a_later_event_does_not_change_earlier_states(
        self, subject: Subject, sequences: Sequences
    ) -> None:
        model, position = subject.torch, 5
        user = int(np.argmax(np.diff(sequences.offsets)))
        case = Cases(np.array([user]), np.asarray(sequences.offsets[[user + 1]]) - 1)
        inputs = model.architecture.event_inputs
        batch = histories(sequences, case, inputs, LENGTH)
        changed = {name: array.copy() for name, array in batch.items()}
        for name in inputs:
            changed[name][:, position:] = 1 + changed[name][:, position:] % 3
        with torch.inference_mode():
            before, after = (
                model.encode(to_tensors(b, torch.device("cpu")), model.item_embeddings())[0]
                for b in (batch, changed)
            )
        torch.testing.assert_close(before[:position], after[:position])
        assert not torch.allclose(before[position:], after[position:])

    def test_the_last_state_alone_is_the_last_of_all_states(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        model = subject.torch
        batch = histories(sequences, last, model.architecture.event_inputs, LENGTH)
        tensors = to_tensors(batch, torch.device("cpu"))
        with torch.inference_mode():
            every = model.encode(tensors, model.item_embeddings())[:, -1:]
            alone = model.encode(tensors, model.item_embeddings(), last=True)
        torch.testing.assert_close(every, alone)


class TestTeacher(TorchContract):
    name = "teacher"


class TestStudent(TorchContract):
    name = "student"

    def test_two_exports_in_two_folders_are_the_same_bytes(
        self, subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        export_onnx(subject.torch, Path(bundle.GRAPH))
        assert Path(bundle.GRAPH).read_bytes() == (subject.folder / bundle.GRAPH).read_bytes()


class TestExperts(TorchContract):
    name = "experts"

    def test_what_it_knows_of_the_history_matters(
        self, subject: Subject, sequences: Sequences, last: Cases
    ) -> None:
        alone = Recommender(replace(subject.torch.architecture, experts=None))
        alone.load_state_dict(subject.torch.state_dict(), strict=False)
        network = TorchScorer(alone.eval())(sequences, last)
        assert np.abs(network - TorchScorer(subject.torch)(sequences, last)).max() > 0.1


class TestPruned(TorchContract):
    name = "pruned"

    def test_is_smaller(self, subject: Subject) -> None:
        assert subject.torch.architecture.heads == (1,)
        assert subject.torch.architecture.hidden == (12,)


class TestInt8(ModelContract):
    name = "int8"
    exact = False

    def test_its_tables_and_matrices_are_stored_in_8_bits(self, subject: Subject) -> None:
        weights = onnx.load(subject.folder / bundle.GRAPH).graph.initializer
        floats = [w.name for w in weights if w.data_type == onnx.TensorProto.FLOAT]
        matrices = [w for w in weights if len(w.dims) > 1 and w.name not in floats]
        assert sum(np.prod(w.dims) for w in matrices) > 2 * (ITEMS + 1) * 16
        assert not [list(w.dims) for w in weights if w.name in floats and np.prod(w.dims) > 100]

    def test_quantising_twice_gives_the_same_bytes(
        self, subjects: dict[str, Subject], tmp_path: Path
    ) -> None:
        quantize_int8(subjects["pruned"].folder / bundle.GRAPH, tmp_path / "again.onnx")
        made = (subjects["int8"].folder / bundle.GRAPH).read_bytes()
        assert (tmp_path / "again.onnx").read_bytes() == made
