import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from decant.columns import Columns
from decant.data import checks
from decant.data.checks import Check, CheckBrokenError
from decant.data.rules import EARLIEST, Rules

NOW = 1_700_000_000.0
FULL = Rules(
    clock=True,
    known_users=True,
    known_items=True,
    behaviours=("rating",),
    set_aside=("cancellation",),
    rated=True,
)


def good_events(rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            Columns.USER: pd.Series(["u"] * rows, dtype="str"),
            Columns.ITEM: pd.Series(["i"] * rows, dtype="str"),
            Columns.BEHAVIOUR: pd.Series(["rating"] * rows, dtype="str"),
            Columns.TIME: np.full(rows, NOW),
            Columns.RATING: np.full(rows, 3.0),
            Columns.MALFORMED: pd.Series([None] * rows, dtype="str"),
            checks.KNOWN_USER: True,
            checks.KNOWN_ITEM: True,
        }
    )


def failing(table: pd.DataFrame, asked: list[Check]) -> dict[str, list[int]]:
    result = checks.find(table, asked)
    return {f.check.reason: f.rows.tolist() for f in result if len(f.rows)}


def test_good_events_fail_no_check() -> None:
    assert failing(good_events(3), checks.event_checks(FULL, NOW)) == {}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (Columns.MALFORMED, "3 fields in a line instead of 2", "malformed line"),
        (Columns.USER, None, "no user"),
        (Columns.ITEM, None, "no item"),
        (Columns.BEHAVIOUR, None, "no behaviour"),
        (Columns.BEHAVIOUR, "wiev", "unknown behaviour"),
        (Columns.BEHAVIOUR, "cancellation", "cancellation"),
        (Columns.TIME, np.nan, "no readable time"),
        (Columns.TIME, EARLIEST - 1, "time before 1990"),
        (Columns.TIME, NOW + 1, "time in the future"),
        (checks.KNOWN_USER, False, "unknown user"),
        (checks.KNOWN_ITEM, False, "unknown item"),
        (Columns.RATING, np.nan, "no rating"),
        (Columns.RATING, 6.0, "impossible rating"),
        (Columns.RATING, 0.0, "impossible rating"),
    ],
)
def test_every_check_on_events_can_fail_and_finds_its_row(
    column: str, value: object, reason: str
) -> None:
    table = good_events(4)
    table.loc[2, column] = value
    assert failing(table, checks.event_checks(FULL, NOW)) == {reason: [2]}


def test_users_need_an_id_once_and_a_possible_age() -> None:
    users = pd.DataFrame(
        {
            "user": pd.Series(["a", None, "c", "d", "e"], dtype="str"),
            "age": [0, 20, 121, -1, np.nan],
            checks.REPEATED: [False, False, False, False, True],
            Columns.MALFORMED: pd.Series([None] * 5, dtype="str"),
        }
    )
    result = failing(users, checks.attribute_checks("user", users))
    assert result == {"no user": [1], "repeated id": [4], "impossible age": [2, 3]}


def test_items_need_a_price_that_is_not_negative() -> None:
    items = pd.DataFrame(
        {
            "item": pd.Series(["a", "b"], dtype="str"),
            "price": [0, -0.01],
            checks.REPEATED: [False, False],
            Columns.MALFORMED: pd.Series([None] * 2, dtype="str"),
        }
    )
    assert failing(items, checks.attribute_checks("item", items)) == {"impossible price": [1]}


def test_an_age_in_words_has_no_range() -> None:
    users = pd.DataFrame(
        {
            "user": pd.Series(["a", "b"], dtype="str"),
            "age": pd.Series(["25-34", None], dtype="str"),
            checks.REPEATED: [False, False],
            Columns.MALFORMED: pd.Series([None] * 2, dtype="str"),
        }
    )
    assert failing(users, checks.attribute_checks("user", users)) == {}


def test_every_bad_row_is_found_not_a_sample() -> None:
    table = good_events(5000)
    table.loc[::2, Columns.USER] = None
    result = failing(table, checks.event_checks(FULL, NOW))
    assert result == {"no user": list(range(0, 5000, 2))}


def test_rows_are_positions_whatever_the_index_of_the_table() -> None:
    table = good_events(3)
    table.loc[2, Columns.USER] = None
    table.index = pd.Index([30, 20, 10])
    assert failing(table, checks.event_checks(FULL, NOW)) == {"no user": [2]}


def test_an_empty_table_fails_no_check() -> None:
    assert failing(good_events(0), checks.event_checks(FULL, float("nan"))) == {}


def test_a_check_that_cannot_run_does_not_pass() -> None:
    wrong = Check("too old", Columns.USER, "ExpectColumnValuesToBeBetween", {"min_value": 3})
    with pytest.raises(CheckBrokenError, match="on `user` could not run: .+") as broken:
        checks.find(good_events(2), [wrong])
    assert len(str(broken.value).splitlines()) == 1 and len(str(broken.value)) < 400


def test_importing_the_module_does_not_import_great_expectations() -> None:
    code = "import sys, decant.data.clean; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
