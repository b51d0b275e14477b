import numpy as np
import pandas as pd
import pytest

from decant.data.sources.parse import (
    looks_numeric,
    most_frequent,
    not_numbers,
    parse_numbers,
    unparsed,
)


def series(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype="str")


def test_infinite_and_unreadable_numbers_are_missing() -> None:
    numbers = parse_numbers(series("1.5", "inf", "free", None, "-2"))
    assert numbers.fillna(0).tolist() == [1.5, 0, 0, 0, -2]


def test_a_column_is_numeric_if_nine_in_ten_cells_are() -> None:
    assert looks_numeric(series(*["1"] * 9, "x", None))
    assert not looks_numeric(series(*["1"] * 8, "x", "y"))
    assert not looks_numeric(series(None))


@pytest.mark.parametrize(
    ("others", "numeric"),
    [
        (["5+"], True),  # once: a slip
        (["5+", "5+"], False),  # twice: a code, whose users would lose it
        (["65 or more", "65 or more"], False),
        (["unknown", "unknown"], True),  # says that nothing is known
        (["5+", "6+"], True),
        (["007"], False),  # a zero in front says that the digits are no amount
    ],
)
def test_a_repeated_code_makes_a_column_text(others: list[str], numeric: bool) -> None:
    values = series(*["1", "2"] * 20, *others)
    assert looks_numeric(values) is numeric
    assert not_numbers(values).tolist() == [other for other in others if other != "007"]


def test_cells_that_are_lost_are_listed_as_they_were_written() -> None:
    given = series("1", "free", None)
    origin = pd.DataFrame({"file": "items.csv", "row": np.arange(2, 5)})
    cells = unparsed("items", "price", given, parse_numbers(given), origin)
    assert cells.to_dict("records") == [
        {"table": "items", "file": "items.csv", "row": 3, "column": "price", "value": "free"}
    ]


def test_the_most_frequent_value_wins_and_of_several_the_first() -> None:
    result = most_frequent(
        series("b", "a", "b", "a", "b", None), series("x", "y", "z", "q", "z", "z")
    )
    assert result.to_dict() == {"b": "z", "a": "y"}
    assert list(result.index) == ["b", "a"]
