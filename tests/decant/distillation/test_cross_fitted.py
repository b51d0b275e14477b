"""Labels of network and experts: tables that do not know the events they are asked about."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.distillation.cross_fitted import FOLDS, CrossFitted, without_users
from decant.distillation.gate_evidence import enlarged
from decant.distillation.knowledge import extract, load_knowledge
from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import count
from decant.features.sequences import Sequences, training_counts, training_events
from decant.models.experts import ExpertShape
from decant.models.recommender import Architecture, Recommender

torch.set_num_threads(1)
ITEMS, K = 9, 9
NAMES = ("chain", "recency", "popularity")


@pytest.fixture(params=[False, True], ids=["constant", "gated"])
def teacher(request: pytest.FixtureRequest) -> Recommender:
    torch.manual_seed(3)
    shape = Architecture(
        items=ITEMS, dimension=8, heads=(2,), head_width=4, hidden=(8,), max_length=12,
        inputs=("item",),
    )  # fmt: skip
    experts = ExpertShape(NAMES, ITEMS, 0, clock=request.param, gated=request.param)
    model = enlarged(Recommender(shape), experts)
    assert model.experts is not None
    model.experts.base.copy_(torch.tensor([1.0, 0.7, 0.4, 0.3]))
    model.experts.outer.normal_(std=0.1)
    model.experts.inner.normal_(std=0.1)
    return model


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    rng = np.random.default_rng(0)
    users = [rng.integers(1, ITEMS + 1, n).tolist() for n in (9, 3, 4, 7, 3, 8, 5)]
    split = np.array([[len(u) - 1, len(u)] for u in users])
    return replace(make_sequences(users, split=split), times=np.arange(39) * 5000.0)


def expected(model: Recommender, sequences: Sequences, event: int) -> torch.Tensor:
    """Scores for one event by a model whose tables other users' folds made."""
    user = int(np.searchsorted(sequences.offsets, event, side="right") - 1)
    others = [
        u for u in range(sequences.users) if u % FOLDS != user % FOLDS
    ]  # those that the tables may know
    left_out = ~np.isin(np.arange(sequences.users), others)
    own = enlarged(model, model.architecture.experts)
    assert own.experts is not None and model.experts is not None
    own.experts.load_state_dict(model.experts.state_dict())
    known = without_users(sequences, left_out)
    pack(own.experts, count(known, ITEMS), training_counts(known, ITEMS))
    first = max(int(sequences.offsets[user]), event - model.architecture.max_length)
    past = slice(first, event)
    lags = sequences.baskets[event] - sequences.baskets[past] + 1
    ages = sequences.times[event] - sequences.times[past]
    batch = {"items": sequences.items[past], "lags": lags, "ages": ages.astype(np.int64)}
    with torch.inference_mode():
        return own({name: torch.from_numpy(np.array(v))[None] for name, v in batch.items()})[0]


def test_labels_are_those_of_tables_that_other_users_made(
    teacher: Recommender, sequences: Sequences, tmp_path: Path
) -> None:
    fitted = CrossFitted(teacher, sequences, None)
    summary = extract([teacher], sequences, tmp_path, K, cross_fitted=fitted)
    known = load_knowledge(tmp_path)
    start = set(sequences.offsets.tolist())
    events = [e for e in training_events(sequences) if e not in start]
    assert summary["positions"] == len(events) > 20
    for event in events:
        row = np.array([event])
        scores = expected(teacher, sequences, event)[1:]
        labels = torch.full((ITEMS,), -torch.inf)
        labels[torch.from_numpy(known.ids[row][0]).long() - 1] = torch.from_numpy(
            known.log_probabilities[row][0, :-1]
        ).float()
        torch.testing.assert_close(labels, torch.log_softmax(scores, 0), atol=5e-3, rtol=1e-2)


def test_labels_are_of_calibrated_scores(teacher: Recommender, sequences: Sequences) -> None:
    event, deep = np.array([4]), torch.randn(1, ITEMS + 1)
    scores = CrossFitted(teacher, sequences, None).scores(deep, event)
    assert teacher.experts is not None
    teacher.experts.scale.fill_(0.25)
    scaled = CrossFitted(teacher, sequences, None).scores(deep, event)
    torch.testing.assert_close(scaled, 0.25 * scores)


def test_a_users_own_events_tell_nothing(teacher: Recommender, sequences: Sequences) -> None:
    """What a user alone does is in no table that is asked about that user."""
    items = np.array(sequences.items)
    user = 3
    own = slice(int(sequences.offsets[user]), int(sequences.offsets[user + 1]))
    other = replace(sequences, items=np.r_[items[: own.start], [1] * 7, items[own.stop :]])
    fold = user % FOLDS
    one, two = (CrossFitted(teacher, s, None).experts for s in (sequences, other))
    for name, buffer in one[fold].named_buffers():
        assert torch.equal(buffer, two[fold].get_buffer(name))
    assert any(
        not torch.equal(buffer, two[fold - 1].get_buffer(name))
        for name, buffer in one[fold - 1].named_buffers()
    )


def test_users_that_are_left_out_have_no_training_events(sequences: Sequences) -> None:
    left_out = np.arange(sequences.users) == 3
    events = training_events(without_users(sequences, left_out))
    inside = (events >= sequences.offsets[3]) & (events < sequences.offsets[4])
    assert not inside.any()
    assert {*events} < {*training_events(sequences)}
