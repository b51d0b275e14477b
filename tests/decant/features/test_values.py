"""An id and an attribute value have one form each, whoever sends them."""

import math
import unicodedata
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decant.features.values import (
    attribute_value,
    clean,
    identifier,
    number,
    plain_text,
    possible,
)

HUGE = 10**5000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" F ", "F"),
        ("", None),
        ("  ", None),
        ("\u200b\u00a0", None),
        (None, None),
        (math.nan, None),
        (np.float32("nan"), None),
        (math.inf, None),
        (28, "28"),
        (28.0, "28"),
        ("28.0", "28"),
        (np.int64(28), "28"),
        (28.5, "28.5"),
        (np.float64(28.5), "28.5"),
        (np.float32(28.1), "28.1"),
        (Decimal("28.00"), "28"),
        (-0.0, "0"),
        ("-0", "0"),
        ("-12.0", "-12"),
        ("1e+05", "100000"),
        ("1.25e+02", "125"),
        (1e300, "1e+300"),
        ("007", "007"),
        ("007.0", "007.0"),
        ("1.10", "1.10"),
        ("5+", "5+"),
        (True, "true"),
        ("True", "true"),
        ("FALSE", "false"),
        (np.bool_(False), "false"),
        ([28], None),
        ({}, None),
        pytest.param(HUGE, None, id="huge"),
    ],
)
def test_an_attributes_value_has_one_form(value: Any, expected: str | None) -> None:
    assert attribute_value(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"), ("12", "12"), (12.0, "12"), ("12.0", "12"), ("012", "012"), ("12.5", "12.5"),
        ("TRUE", "TRUE"), ("cafe\u0301", "caf\u00e9"), ("caf\u00e9\u200b", "caf\u00e9"),
        (" a\u00a0b ", "a b"), ("NULL", None), ("", None), (None, None), ([1], None),
        (2**64, "18446744073709551616"), ("1.5e+01", "15"), ("1.55e+01", "1.55e+01"),
        ("1e+16", "1e+16"), ("1.23457E+12", "1.23457E+12"),
    ],
)  # fmt: skip
def test_an_id_has_one_form(value: Any, expected: str | None) -> None:
    assert identifier(value, missing=("NULL",)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("28", 28.0), ("28.5", 28.5), ("+.5", 0.5), ("1e3", 1000.0), ("x", None), ("nan", None),
     ("inf", None), ("1_000", None), ("\u0663", None), ("1e999", None), ("0x10", None),
     ("", None), (None, None)],
)  # fmt: skip
def test_text_that_is_a_finite_number_counts_as_one(value: Any, expected: Any) -> None:
    assert number(value) == expected


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans()))
def test_a_form_is_final(value: Any) -> None:
    for form in (plain_text, identifier, attribute_value):
        once = form(value)
        assert once is None or form(once) == once


@given(st.text())
def test_the_unicode_form_of_a_text_does_not_matter(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert clean(unicodedata.normalize(form, text)) == clean(text)


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_is_the_same_as_a_float_and_as_text(value: int) -> None:
    assert {attribute_value(v) for v in (value, float(value), str(value), f"{value}.0")} == {
        str(value)
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("age", "0", True), ("age", "120", True), ("age", "121", False), ("age", "999", False),
        ("age", "-1", False), ("age", "old", True), ("age", None, True), ("rating", "0", False),
        ("rating", "5", True), ("rating", "5.5", False), ("price", "1e9", True),
        ("price", "-0.01", False), ("height", "999", True),
    ],
)  # fmt: skip
def test_a_number_outside_of_its_attributes_range_is_impossible(
    name: str, value: str | None, expected: bool
) -> None:
    assert possible(name, value) is expected
