from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decant.features.sequences import Cases, Sequences, histories
from decant.models import clock
from decant.models.build import missing_inputs
from decant.models.recommender import Architecture, Recommender
from decant.params.models import Training
from decant.training.batches import cut, training_windows

torch.set_num_threads(1)
DAY = 86_400
SHAPE = Architecture(
    items=30,
    dimension=16,
    heads=(2, 2),
    head_width=8,
    hidden=(24, 24),
    max_length=10,
    inputs=("item", "clock"),
)


def some_model(shape: Architecture = SHAPE) -> Recommender:
    """A model whose clock matters."""
    torch.manual_seed(0)
    model = Recommender(shape)
    for name, parameter in model.named_parameters():
        if "elapsed" in name or "ages" in name:
            nn.init.normal_(parameter)
    return model.eval()


def test_buckets_double_from_a_minute() -> None:
    spans = torch.tensor([0, 59, 60, 179, 180, 3600, DAY, 2**28])
    assert clock.bucket(spans).tolist() == [0, 0, 1, 1, 2, 5, 10, 22]
    assert clock.bucket(torch.tensor([-5, 2**40])).tolist() == [0, clock.BUCKETS - 1]


def test_a_position_counts_to_the_event_after_it_and_the_last_one_to_now() -> None:
    ages = torch.tensor([[100, 70, 10]])
    assert clock.pauses(ages).tolist() == [[30, 60, 10]]
    assert clock.elapsed(ages).tolist() == [[[30, 0, -60], [90, 60, 0], [100, 70, 10]]]
    assert clock.elapsed(ages, last=True).tolist() == [[[100, 70, 10]]]


@pytest.mark.parametrize("layers", [1, 2])
def test_each_position_of_a_history_answers_as_if_it_were_the_last_one(layers: int) -> None:
    model = some_model(replace(SHAPE, heads=(2,) * layers, hidden=(24,) * layers))
    items = torch.randint(1, 31, (3, 8))
    ages = torch.randint(0, 10**6, (3, 8)).sort(dim=1, descending=True).values
    table = model.item_embeddings()
    whole = model.encode({"items": items, "ages": ages}, table)
    for length in range(1, 8):
        part = {"items": items[:, :length], "ages": ages[:, :length] - ages[:, length, None]}
        alone = model.encode(part, table, last=True)[:, 0]
        torch.testing.assert_close(whole[:, length - 1], alone, rtol=1e-4, atol=1e-5)


def test_the_moment_changes_the_answer_and_so_does_the_age_of_an_old_event() -> None:
    model = some_model()
    items = torch.tensor([[1, 2, 3]])

    def answer(ages: list[int]) -> Tensor:
        return model({"items": items, "ages": torch.tensor([ages])})

    asked = answer([300, 200, 100])
    assert not torch.allclose(asked, answer([300 + DAY, 200 + DAY, 100 + DAY]))
    assert not torch.allclose(asked, answer([300 + DAY, 200, 100]))


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    rng = np.random.default_rng(0)
    made = make_sequences([rng.integers(1, 31, 9).tolist() for _ in range(4)])
    times = np.sort(rng.integers(0, 10 * DAY, (4, 9)), axis=1).astype(np.float64).ravel()
    return replace(made, times=times)


def test_training_reads_the_same_as_a_request_at_the_time_of_the_event(
    sequences: Sequences,
) -> None:
    inputs = SHAPE.event_inputs
    windows = training_windows(sequences, 10)
    arrays, targets, position = cut(sequences, windows, inputs)
    last = Cases(windows.user, position[:, -1])
    asked = histories(sequences, last, inputs, arrays["items"].shape[1])
    for name in inputs:
        assert np.array_equal(arrays[name], asked[name]), name
    assert (targets[:, -1] == np.asarray(sequences.items)[last.position]).all()


def test_of_the_event_to_predict_only_its_time_is_read(sequences: Sequences) -> None:
    model, last = some_model(), Cases(np.arange(4), np.arange(8, 36, 9))

    def answer(changed: Sequences) -> np.ndarray:
        arrays = histories(changed, last, SHAPE.event_inputs, 8)
        return model({n: torch.from_numpy(a) for n, a in arrays.items()}).detach().numpy()

    later = np.asarray(sequences.times).copy()
    later[last.position] += 30 * DAY
    assert not np.allclose(answer(sequences), answer(replace(sequences, times=later)))
    other = {
        name: np.where(np.isin(np.arange(36), last.position), 1, getattr(sequences, name))
        for name in ("items", "behaviours", "ratings", "gaps")
    }
    other = {n: a.astype(getattr(sequences, n).dtype) for n, a in other.items()}
    assert np.array_equal(answer(sequences), answer(replace(sequences, **other)))


@pytest.mark.parametrize(
    ("changes", "gaps", "reason"),
    [
        ({}, True, None),
        ({}, False, "there are no times, or all gaps are alike"),
        ({"objective": "masked"}, True, "a masked model hides events in the middle"),
    ],
)
def test_a_clock_that_cannot_be_read_is_left_out_and_the_reason_said(
    make_encoder: Callable[..., object], changes: dict[str, str], gaps: bool, reason: str | None
) -> None:
    settings = Training.model_validate({"inputs": ["item", "clock"], **changes})
    encoder = make_encoder(9, 5, gaps=gaps)
    missing = missing_inputs(settings, encoder, {})  # type: ignore[arg-type]
    assert missing.get("clock") == reason
