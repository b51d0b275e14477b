import csv

import pytest

from decant.data.sources.csv_lines import AMBIGUOUS, STRAY, TOO_LONG, read_records


def records(*lines: str, width: int = 3) -> list[tuple[int, list[str], str | None]]:
    return list(read_records([f"{line}\n" for line in lines], ",", width))


def test_a_quoted_cell_may_hold_line_breaks() -> None:
    assert records('1,"a', ',b",2', "3,c,4") == [
        (1, ["1", "a\n,b", "2"], None),
        (3, ["3", "c", "4"], None),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ('1,"a,2', "3,b,4", "5,c,6"),  # never ends
        ('1,"a,2', '3,"b",4', "5,c,6"),  # ends in front of something else
        ('1,"a', '3,b",4,5', "5,c,6"),  # too many cells
    ],
)
def test_the_line_of_a_stray_quotation_mark_is_malformed_and_the_next_is_read_anew(
    lines: tuple[str, ...],
) -> None:
    result = records(*lines)
    assert result[0] == (1, ["", "", ""], STRAY)
    assert [row for row, _, _ in result] == [1, 2, 3]
    assert result[2] == (3, ["5", "c", "6"], None)


def test_where_a_quotation_may_be_meant_or_not_each_of_its_lines_is_malformed() -> None:
    empty = ["", "", ""]
    assert records('1,"a,2', "3,b,4", '5,c",6', "7,d,8") == [
        (1, empty, AMBIGUOUS),
        (2, empty, AMBIGUOUS),
        (3, empty, AMBIGUOUS),
        (4, ["7", "d", "8"], None),
    ]


def test_a_quotation_open_at_the_end_of_the_last_line_is_stray() -> None:
    assert list(read_records(['1,"a'], ",", 2)) == [(1, ["", ""], STRAY)]


def test_short_lines_are_filled_up_and_long_ones_malformed() -> None:
    assert records("1", "", "1,2,3,4") == [
        (1, ["1", "", ""], None),
        (2, ["", "", ""], None),
        (3, ["", "", ""], "4 fields in a line instead of 3"),
    ]


def test_a_cell_that_never_seems_to_end_costs_its_line_alone() -> None:
    long = ["x,y,z"] * (csv.field_size_limit() // 5)
    result = records('1,"a,2', *long)
    assert result[0] == (1, ["", "", ""], TOO_LONG)
    assert result[1:3] == [(2, ["x", "y", "z"], None), (3, ["x", "y", "z"], None)]
    assert len(result) == len(long) + 1
