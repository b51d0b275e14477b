from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.distillation import shards
from decant.distillation.knowledge import extract, load_knowledge
from decant.features.sequences import Sequences
from decant.models.recommender import Architecture, Recommender
from decant.training.losses import with_rest

torch.set_num_threads(1)
ITEMS, K = 9, 4


def teacher(max_length: int, seed: int = 3) -> Recommender:
    torch.manual_seed(seed)
    shape = Architecture(
        items=ITEMS, dimension=8, heads=(2,), head_width=4, hidden=(8,), max_length=max_length,
        inputs=("item",),
    )  # fmt: skip
    model = Recommender(shape).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    return model


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    rng = np.random.default_rng(0)
    users = [rng.integers(1, ITEMS + 1, n).tolist() for n in (9, 2, 3, 7, 1)]
    wanted = np.arange(sum(map(len, users))) % 5 != 2
    return make_sequences(users, target=wanted)


def naive(model: Recommender, history: list[int]) -> torch.Tensor:
    """Log-probability of each item after a history, [N]."""
    with torch.inference_mode():
        return torch.log_softmax(model({"items": torch.tensor([history])})[0, 1:], 0)


def trained_on(sequences: Sequences) -> list[tuple[int, list[int]]]:
    """Every event that training predicts, and what came before it."""
    return [
        (start + i, sequences.items[start : start + i].tolist())
        for start, training in zip(sequences.offsets[:-1], sequences.split[:, 0], strict=True)
        for i in range(1, training)
        if sequences.target[start + i]
    ]


def test_rows_are_the_teachers_log_probabilities(sequences: Sequences, tmp_path: Path) -> None:
    model = teacher(12)
    summary = extract([model], sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    rows = trained_on(sequences)
    assert rows
    for event, history in rows:
        best = naive(model, history).topk(K)
        row = np.array([event])
        assert known.ids[row][0].tolist() == (best.indices + 1).tolist()
        np.testing.assert_allclose(
            known.log_probabilities[row][0], with_rest(best.values), atol=5e-3
        )
    held = [naive(model, history).topk(K).values.exp().sum() for _, history in rows]
    assert summary["positions"] == len(rows)
    assert summary["mass"] == pytest.approx(float(torch.stack(held).mean()), abs=1e-3)


def test_events_that_are_never_trained_on_have_no_row(sequences: Sequences, tmp_path: Path) -> None:
    extract([teacher(12)], sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    trained = [event for event, _ in trained_on(sequences)]
    untrained = np.setdiff1d(np.arange(len(sequences.items)), trained)
    assert len(untrained) > 5
    assert not known.ids[untrained].any()
    assert np.isneginf(known.log_probabilities[untrained]).all()


def test_what_the_teacher_sees_is_what_the_student_sees_in_its_windows(
    make_sequences: Callable[..., Sequences], tmp_path: Path
) -> None:
    items = [1, 5, 2, 7, 3, 8, 4]
    sequences = make_sequences([items], split=[[7, 7]])
    model = teacher(3)  # windows of three predictions, cut from the newest: 4-6, 1-3
    extract([model], sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    for event, first in ((1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3)):
        best = naive(model, items[first:event]).topk(K)
        assert known.ids[np.array([event])][0].tolist() == (best.indices + 1).tolist()


def test_more_labels_than_items_are_all_items(sequences: Sequences, tmp_path: Path) -> None:
    summary = extract([teacher(12)], sequences, tmp_path, 1000)
    known = load_knowledge(tmp_path)
    event = trained_on(sequences)[0][0]
    assert summary["top_k"] == ITEMS
    assert sorted(known.ids[np.array([event])][0].tolist()) == list(range(1, ITEMS + 1))
    assert summary["mass"] == pytest.approx(1.0, abs=1e-3)


def test_no_item_is_never_among_the_labels(sequences: Sequences, tmp_path: Path) -> None:
    model = teacher(12)
    with torch.no_grad():
        model.bias[0] = 99.0
    extract([model], sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    rows = np.array([event for event, _ in trained_on(sequences)])
    assert (known.ids[rows] > 0).all()
    assert np.isfinite(known.log_probabilities[rows].astype(np.float64)).all()


def test_several_teachers_speak_with_the_mean_of_their_probabilities(
    sequences: Sequences, tmp_path: Path
) -> None:
    models = [teacher(12, seed) for seed in (3, 4, 5)]
    extract(models, sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    for event, history in trained_on(sequences):
        mean = torch.stack([naive(model, history).exp() for model in models]).mean(dim=0)
        best = mean.topk(K)
        row = np.array([event])
        assert known.ids[row][0].tolist() == (best.indices + 1).tolist()
        result = known.log_probabilities[row][0, :-1]
        np.testing.assert_allclose(result, best.values.log(), atol=5e-3)


def test_states_and_relations_are_those_at_the_position_before_the_event(
    sequences: Sequences, tmp_path: Path
) -> None:
    model = teacher(12)
    summary = extract([model], sequences, tmp_path, K, states=True, relations=True)
    known = load_knowledge(tmp_path)
    assert known.states is not None and known.relations is not None
    attention, result = model.blocks[-1].attention, dict[str, torch.Tensor]()
    for name in ("query", "key", "value"):
        layer = getattr(attention, name)
        layer.register_forward_hook(
            lambda layer, inputs, out, name=name: result.update({name: out})
        )
    for event, history in trained_on(sequences):
        row = np.array([event])
        with torch.inference_mode():
            states = model.encode({"items": torch.tensor([history])}, model.item_embeddings())
        np.testing.assert_allclose(known.states[row][0], states[0, -1], atol=5e-3)
        vectors = torch.stack([result[name][0, -1] for name in ("query", "key", "value")])
        np.testing.assert_allclose(known.relations[row][0], vectors, atol=5e-3)
    events = len(sequences.items)
    assert summary["bytes"]["states"] == events * 8 * 2
    assert summary["bytes"]["relations"] == events * 3 * 8 * 2


def test_without_being_asked_neither_states_nor_relations_are_kept(
    sequences: Sequences, tmp_path: Path
) -> None:
    summary = extract([teacher(12)], sequences, tmp_path, K)
    known = load_knowledge(tmp_path)
    assert (known.states, known.relations) == (None, None)
    assert set(summary["bytes"]) == {"ids", "log_probabilities"}


def test_in_one_file_or_in_several_the_rows_are_the_same(
    sequences: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, result = np.array([3, 20, 5, 0, 21, 7]), []
    for name, size in (("one", 1000), ("several", 4)):
        monkeypatch.setattr(shards, "ROWS", size)
        (tmp_path / name).mkdir()
        extract([teacher(12)], sequences, tmp_path / name, K)
        known = load_knowledge(tmp_path / name)
        result.append((known.ids[rows], known.log_probabilities[rows]))
    assert len(list((tmp_path / "several").glob("ids-*.npy"))) == -(-len(sequences.items) // 4)
    for one, several in zip(*result, strict=True):
        np.testing.assert_array_equal(one, several)


def test_knowledge_that_is_not_there_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage `knowledge`"):
        load_knowledge(tmp_path)
