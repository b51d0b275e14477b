"""A raw value means the same, whoever sends it."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from decant.features.raw import number, plain, spellings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" F ", "F"),
        ("", None),
        ("  ", None),
        (None, None),
        (math.nan, None),
        (np.float32("nan"), None),
        (math.inf, None),
        (28, 28),
        (np.int64(28), 28),
        (28.5, 28.5),
        (np.float64(28.5), 28.5),
        (True, "True"),
        (np.bool_(False), "False"),
        ([28], None),
        ({}, None),
        (Decimal("28"), None),
    ],
)
def test_a_raw_value_is_text_a_number_or_missing(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("28", 28.0), ("28.5", 28.5), (28, 28.0), ("x", None), ("nan", None), ("inf", None),
     ("1_000", None), (10**400, None), (None, None)],
)  # fmt: skip
def test_text_that_is_a_finite_number_counts_as_one(value: Any, expected: Any) -> None:
    assert number(value) == expected


def test_a_number_is_spelt_as_a_table_may_have_written_it() -> None:
    assert spellings(28) == spellings(28.0) == ("28", "28.0")
    assert spellings(28.5) == ("28.5",)
    assert spellings("28.0") == ("28.0",)
    assert spellings(None) == spellings(10**5000) == ()
