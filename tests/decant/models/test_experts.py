from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from decant.features.encode import LONGEST_AGE, MOST_LAG
from decant.models.experts import (
    AGES,
    BACK,
    LAGS,
    LEVELS,
    ROOT,
    Experts,
    ExpertShape,
    index_type,
    lag_weights,
    root,
)
from decant.params.types import EXPERTS

ITEMS = 6


def in_tables(buffer: Tensor, tables: int) -> Tensor:
    """A view of a buffer with an axis for its tables, [N + 1, K, ...]."""
    return buffer.view(len(buffer), tables, -1)


def some_experts(names: tuple[str, ...] = EXPERTS, **changes: Any) -> Experts:
    """Experts in which item 1 leads to 2 surely, and item 2 to 3 with a half, in every table."""
    shape = ExpertShape(**{"names": names, "successors": 1, "factors": 0, "clock": True, **changes})
    experts = Experts(shape, ITEMS)
    tables = len(shape.tables)
    for item, level, place in ((1, 255, 2), (2, 247, 3)) if tables else ():
        in_tables(experts.levels, tables)[item, :, 0] = level
        own = place + (ITEMS + 1) * torch.arange(tables)
        in_tables(experts.places, tables)[item, :, 0] = own.to(experts.places.dtype)
    return experts


def request(items: list[int], lags: list[int], ages: list[int] | None = None) -> dict[str, Tensor]:
    arrays = {"items": items, LAGS: lags, AGES: ages or [0] * len(items)}
    return {name: torch.tensor([values]) for name, values in arrays.items()}


def asked(experts: Experts, batch: dict[str, Tensor]) -> dict[str, list[float]]:
    """Each expert's probabilities of the items, by name."""
    probabilities, _ = experts.answer(batch)
    return dict(zip(experts.shape.asked, probabilities[0].round(decimals=4).tolist(), strict=True))


def test_each_expert_answers_from_its_own_part_of_the_history() -> None:
    """Two old baskets, {4} and {1}; the open one has 2."""
    known = asked(some_experts(), request([4, 1, 2], [3, 2, 1]))
    assert known["basket"] == [0, 0, 0, 0.5, 0, 0, 0]
    assert known["previous"] == pytest.approx([0, 0, 1 / 1.9, 0, 0, 0, 0], abs=1e-4)
    assert known["recency"] == pytest.approx([0, 1 / 1.7, 0, 0, 0.7 / 1.7, 0, 0], abs=1e-4)
    assert known["frequency"] == [0, 0.5, 0, 0, 0.5, 0, 0]
    shares = np.array([0.95**2, 0.95, 1.0]) / (1 + 0.95 + 0.95**2)
    assert known["together"] == pytest.approx([0, 0, shares[1], shares[2] / 2, 0, 0, 0], abs=1e-4)
    shares = np.array([0.25, 0.5, 1.0]) / 1.75
    assert known["chain"] == pytest.approx([0, 0, shares[1], shares[2] / 2, 0, 0, 0], abs=1e-4)


def test_items_taken_twice_count_twice() -> None:
    known = asked(some_experts(("frequency",)), request([5, 5, 4, 1], [5, 4, 3, 2]))
    assert known["frequency"] == [0, 0.25, 0, 0, 0.25, 0.5, 0]


def test_without_a_history_no_expert_knows_anything() -> None:
    probabilities, signals = some_experts().answer(request([0], [0], [0]))
    assert not probabilities.any()
    assert torch.isfinite(signals).all()


def test_padding_changes_nothing() -> None:
    experts = some_experts()
    bare, padded = (
        request([4, 1], [3, 2], [9, 5]),
        request([0, 0, 4, 1], [0, 0, 3, 2], [0, 0, 9, 5]),
    )
    for one, other in zip(experts.answer(bare), experts.answer(padded), strict=True):
        torch.testing.assert_close(one, other)


def test_factors_add_what_the_lists_leave_out_and_never_less_than_nothing() -> None:
    experts = some_experts(("basket",), factors=2)
    experts.left[4] = torch.tensor([127, -127], dtype=torch.int8)
    experts.levels[4, -1] = 247  # a scale of one half
    experts.popular[[5, 6]] = 255 - 2 * LEVELS  # one of four, whose root is one half
    experts.step.fill_(0.02)
    experts.right[0, 5], experts.right[1, 6] = 60, 20
    known = asked(experts, request([4], [1]))
    assert known["basket"] == pytest.approx([0, 0, 0, 0, 0, 0.3, 0], abs=1e-4)


def test_the_order_in_a_basket_is_no_information() -> None:
    experts = some_experts()
    one, other = request([4, 1, 2], [2, 1, 1]), request([4, 2, 1], [2, 1, 1])
    probabilities = [experts.answer(batch)[0] for batch in (one, other)]
    torch.testing.assert_close(*probabilities)


def test_gates_read_the_basket_the_pause_and_what_experts_know() -> None:
    experts = some_experts(("basket", "recency", "popularity"))
    batch = request([4, 1, 1], [2, 1, 1], [7200, 0, 0])
    experts.popular[1] = 255 - 2 * LEVELS  # one of four
    _, signals = experts.answer(batch)
    read = dict(zip(experts.shape.signals, signals[0].tolist(), strict=True))
    assert read == pytest.approx(
        {
            "basket is open": 1,
            "size of the basket": np.log(3),
            "events before": np.log(2),
            "last item": np.log1p(ITEMS / 4),
            "pause": np.log(3),
            "repeats in the basket": 0,
            "mass of basket": 1,
            "mass of recency": 1,
            "top of basket": 1,
            "top of recency": 1,
        }
    )


def test_an_unknown_pause_is_a_very_long_one() -> None:
    experts = some_experts(("recency",))
    _, unknown = experts.answer(request([4], [2], [LONGEST_AGE]))
    _, nothing_before = experts.answer(request([4], [1], [0]))
    place = experts.shape.signals.index("pause")
    assert unknown[0, place] == nothing_before[0, place] > 10


def test_without_a_clock_ages_are_not_asked_for() -> None:
    experts = some_experts(clock=False)
    assert experts.shape.inputs == (LAGS,)
    batch = request([4, 1], [3, 2])
    del batch[AGES]
    assert experts(torch.zeros(1, ITEMS + 1), batch).shape == (1, ITEMS + 1)


def test_before_any_fit_the_network_has_its_own_scores() -> None:
    deep = torch.randn(1, ITEMS + 1)
    torch.testing.assert_close(some_experts()(deep, request([4, 1], [3, 2])), deep)


def test_a_root_is_nearly_a_logarithm() -> None:
    scaled = torch.tensor([0.0, 0.1, 1.0])
    near = ROOT * (root(scaled) - 1)
    torch.testing.assert_close(near, torch.log1p(scaled), atol=0.04, rtol=0)
    assert root(torch.tensor(255.0)) == 2


def test_gates_add_logarithms() -> None:
    experts = some_experts(("basket", "popularity"))
    experts.popular.fill_(255 - 3 * LEVELS)  # one of eight
    experts.base.copy_(torch.tensor([0.5, 2.0, 3.0]))
    experts.offset.copy_(torch.tensor([1.0, 2.0]))
    deep = torch.randn(1, ITEMS + 1)
    scores = experts(deep, request([2], [1]))
    popular = 3 * np.log1p(np.exp(2.0) / 8)
    followed = 2 * ROOT * (1 + 0.5 * np.e) ** (1 / ROOT)
    assert scores[0, 3].item() == pytest.approx(
        0.5 * deep[0, 3].item() + followed + popular, abs=1e-5
    )
    unknown = 0.5 * deep[0, 4].item() + 2 * ROOT + popular
    assert scores[0, 4].item() == pytest.approx(unknown, abs=1e-5)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(
    "names", [EXPERTS, EXPERTS[:1], EXPERTS[4:], ("basket", "previous", "frequency"), EXPERTS[6:]]
)
def test_scores_are_those_of_the_probabilities_and_the_gates(
    names: tuple[str, ...], gated: bool
) -> None:
    experts = some_experts(names, gated=gated, factors=2)
    torch.manual_seed(0)
    for buffer in (experts.base, experts.inner, experts.outer, experts.mean):
        buffer.normal_(std=0.5)
    experts.spread.uniform_(0.5, 2)
    experts.popular.random_(200, 256)
    experts.step.fill_(0.01)
    experts.right.random_(-127, 128)
    experts.right[:, 0] = 0
    experts.left.random_(-127, 128)
    experts.levels.random_(200, 256)
    experts.base[0] = 1.0
    items, lags = [[0, 4, 1, 4, 2, 2], [1, 2, 3, 4, 5, 6]], [[0, 4, 3, 2, 1, 1], [3, 3, 2, 2, 2, 2]]
    batch = {"items": torch.tensor(items), LAGS: torch.tensor(lags)}
    batch[AGES] = torch.tensor([[0, 90, 80, 70, 0, 0], [9000, 9000, 50, 50, 50, 50]])
    deep = torch.randn(2, ITEMS + 1)
    probabilities, signals = experts.answer(batch)
    popular = experts.popularity() if "popularity" in names else None
    whole = experts.combine(deep, probabilities, popular, experts.gates(signals))
    torch.testing.assert_close(experts(deep, batch)[:, 1:], whole[:, 1:], rtol=1e-4, atol=1e-5)


def test_constant_weights_are_scaled_so_that_the_network_has_one() -> None:
    experts = some_experts(("basket", "popularity"), gated=False)
    experts.base.copy_(torch.tensor([0.5, 2.0, 3.0]))
    experts.normalise()
    assert experts.base.tolist() == [1, 4, 6]
    for nothing in (0.0, -1.0, 1e-5):  # the network's fitted weight
        experts.base.copy_(torch.tensor([nothing, 2.0, 3.0]))
        experts.normalise()
        assert experts.base.tolist() == pytest.approx([1, 2000, 3000])
    experts.base.copy_(torch.tensor([0.01, 2.0, 3.0]))
    experts.normalise()
    assert experts.base.tolist() == pytest.approx([1, 200, 300])
    gated = some_experts(("basket", "popularity"))
    gated.base[0] = 0.5
    gated.normalise()
    assert gated.base[0] == 0.5


def test_weights_by_lag_end_where_they_should() -> None:
    columns = lag_weights(some_experts().shape).numpy()
    assert len(columns) == MOST_LAG + 1
    assert not columns[0].any()
    chain = columns[:, 0]
    assert np.flatnonzero(chain).tolist() == list(range(1, 2 + BACK))
    assert columns[1, -2:].tolist() == [1, 0] and columns[MOST_LAG, -2:].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("largest", "wanted"), [(0, torch.int16), (32_767, torch.int16), (32_768, torch.int32)]
)
def test_an_index_takes_as_few_bytes_as_it_needs(largest: int, wanted: torch.dtype) -> None:
    assert index_type(largest) == wanted


@pytest.mark.parametrize("items", [300, 70_000])
def test_items_of_large_catalogues_are_found(items: int) -> None:
    experts = Experts(ExpertShape(("basket",), 1, 0, False), items)
    experts.levels[1, 0] = 255
    experts.places[1, 0] = items - 1
    probabilities, _ = experts.answer({"items": torch.tensor([[1]]), LAGS: torch.tensor([[1]])})
    assert probabilities[0, 0].nonzero().tolist() == [[items - 1]]


def test_a_large_catalogue_is_decoded_row_by_row_with_equal_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experts = some_experts(factors=2)
    torch.manual_seed(0)
    experts.right.random_(-127, 128)
    experts.left.random_(-127, 128)
    experts.levels.random_(200, 256)
    batch = request([4, 1, 2], [3, 2, 1])
    at_once = experts.answer(batch)
    monkeypatch.setattr("decant.models.experts.MOST_DECODED", 0)
    for one, other in zip(at_once, experts.answer(batch), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
