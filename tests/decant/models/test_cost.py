"""Multiply-adds of a request, beside a count by hand."""

import pytest

from decant.models.cost import multiply_adds
from decant.models.recommender import Architecture

ITEMS, D, LENGTH, HIDDEN = 100, 16, 10, 64


def shape(layers: int, length: int = LENGTH, **more: object) -> Architecture:
    return Architecture(
        ITEMS, D, (2,) * layers, D // 2, (HIDDEN,) * layers, length, ("item",),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def by_hand(layers: int, length: int) -> int:
    """The last layer works out one position, from keys and values of all."""
    whole = length * (4 * D * D + 2 * D * HIDDEN) + 2 * length * length * D
    last = 2 * length * D * D + 2 * D * D + 2 * length * D + 2 * D * HIDDEN
    return (layers - 1) * whole + last + (ITEMS + 1) * D


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 7, LENGTH])
def test_products_are_counted_as_by_hand(layers: int, length: int) -> None:
    assert multiply_adds(shape(layers, length)) == by_hand(layers, length)


def test_given_vectors_are_worked_out_once_and_cost_a_request_nothing() -> None:
    with_text = shape(1, vector_widths=(("text", 32),))
    assert multiply_adds(with_text) == multiply_adds(shape(1))
