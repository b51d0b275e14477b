"""What each way changes, and that all are given the same chances."""

import pytest

from benchmarks.experiments.variants import (
    GENERAL_WAYS,
    GROUP_WAYS,
    NARROW,
    TRIES,
    UNDISTILLED,
    Try,
    Way,
)
from decant.params.models import Distill
from decant.params.types import GENERAL

BASE = Distill(dimension=64, layers=2, heads=2, start_layers=[0, 1], inputs=["item", "text"])
ALL = {**GENERAL_WAYS, **GROUP_WAYS}


@pytest.mark.parametrize("name", ALL)
def test_every_way_has_the_same_steps_and_capacity_unless_it_says_so(name: str) -> None:
    settings = ALL[name].settings(BASE)
    for same in ("layers", "heads", "epochs", "segment_epochs", "batch_size", "patience"):
        assert getattr(settings, same) == getattr(BASE, same)
    assert settings.dimension == (48 if "narrow" in name else 64)


def test_general_is_what_the_settings_say() -> None:
    assert GENERAL_WAYS[GENERAL].settings(BASE) == BASE


def test_the_learning_rate_that_counts_is_the_one_that_is_searched() -> None:
    scratch = Way("").settings(BASE, Try(rate=2.0))
    goes_on = Way("", start=GENERAL).settings(BASE, Try(rate=2.0))
    assert scratch.learning_rate == 2 * BASE.learning_rate
    assert scratch.segment_learning_rate == BASE.segment_learning_rate
    assert goes_on.segment_learning_rate == 2 * BASE.segment_learning_rate
    assert goes_on.learning_rate == BASE.learning_rate


def test_dropout_is_searched_too() -> None:
    more = Way("").settings(BASE, Try(dropout=0.1))
    assert more == BASE.model_copy(update={"dropout": BASE.dropout + 0.1})
    assert str(Try(dropout=0.1)) == "1x, dropout +0.1"


def test_a_student_that_goes_on_keeps_its_dropout_and_tries_nothing_twice() -> None:
    assert Way("").tried(4) == TRIES
    assert Way("", start=GENERAL).tried(2) == (Try(),)
    assert [t.rate for t in Way("", start=GENERAL).tried(4)] == [1.0, 0.5, 2.0]


@pytest.mark.parametrize("name", [UNDISTILLED, NARROW])
def test_without_a_teacher_of_its_shape_a_student_starts_from_scratch(name: str) -> None:
    assert GENERAL_WAYS[name].settings(BASE).start_layers == []


@pytest.mark.parametrize("given", [["item", "text"], ["item", "attributes", "text"]])
def test_a_way_says_who_reads_the_attributes_or_leaves_it_to_the_settings(given: list[str]) -> None:
    base = BASE.model_copy(update={"inputs": given})
    assert Way("", aware=True).settings(base).inputs == ["item", "text", "attributes"]
    assert Way("").settings(base).inputs == ["item", "text"]
    assert Way("", aware=None).settings(base).inputs == given


def test_the_narrow_width_is_a_multiple_of_the_heads() -> None:
    odd = Distill(dimension=50, heads=5)
    assert Way("", width=0.75).settings(odd).dimension == 40


@pytest.mark.parametrize("name", GROUP_WAYS)
def test_a_group_goes_on_from_a_student_of_its_own_shape(name: str) -> None:
    way = GROUP_WAYS[name]
    if way.start is not None:
        own, start = way.settings(BASE), GENERAL_WAYS[way.start].settings(BASE)
        assert (own.dimension, own.inputs) == (start.dimension, start.inputs)
