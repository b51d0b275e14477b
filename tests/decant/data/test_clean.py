from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.columns import Columns
from decant.data.clean import (
    LEFT_OUT,
    Cleaned,
    NothingAcceptedError,
    TooFewError,
    TooManyQuarantinedError,
    accepted_rows,
    bad_share,
    clean,
    expectations,
    judge,
)
from decant.data.rules import Rules
from decant.data.tables import CELL_COLUMNS, in_order_of_arrival, make_events, no_cells
from decant.params.data import Validate

NOW = 1_700_000_000.0
RULES = Rules(known_users=True, known_items=True, behaviours=("view", "buy"))
Row = tuple[str | None, str | None, float]


def log(rows: list[Row], source: str = "views", behaviour: str = "view") -> pd.DataFrame:
    user, item, time = zip(*rows, strict=True)
    return make_events(
        {
            Columns.USER: pd.Series(user, dtype="str"),
            Columns.ITEM: pd.Series(item, dtype="str"),
            Columns.TIME: pd.Series(time, dtype="float64"),
            Columns.BEHAVIOUR: behaviour,
            Columns.SOURCE: source,
            Columns.FILE: f"{source}.csv",
            Columns.ROW: pd.Series(range(2, len(rows) + 2)),
        }
    )


def table(key: str, ids: list[str | None], **attributes: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame({key: pd.Series(ids, dtype="str"), **attributes})
    malformed = pd.Series([None] * len(ids), dtype="str")
    return frame.assign(file=f"{key}s.csv", row=np.arange(2, len(ids) + 2), malformed=malformed)


def cleaned(
    *logs: pd.DataFrame,
    rules: Rules = RULES,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
) -> Cleaned:
    tables = {
        "events": in_order_of_arrival(logs),
        "users": table("user", ["a", "b"], age=[30.0, 40.0]) if users is None else users,
        "items": table("item", ["i", "j"], price=[1.0, 2.0]) if items is None else items,
    }
    return clean(tables, rules)


GOOD: list[Row] = [("a", "i", NOW), ("b", "j", NOW + 1), ("a", "j", NOW + 2)]


def test_good_rows_pass_unchanged() -> None:
    result = cleaned(log(GOOD))
    assert len(result.accepted["events"]) == 3
    assert list(result.accepted["users"]) == ["user", "age"]
    assert all(not len(rows) for rows in result.quarantined.values())


def test_bad_rows_are_quarantined_with_reason_file_and_row() -> None:
    result = cleaned(log([*GOOD, (None, "i", NOW), ("a", "zzz", NOW), ("x", "i", np.nan)]))
    bad = result.quarantined["events"].set_index(Columns.ROW)[Columns.REASON]
    assert bad.to_dict() == {5: "no user", 6: "unknown item", 7: "no readable time"}
    assert len(result.accepted["events"]) == 3
    assert set(result.quarantined["events"]) == {*result.accepted["events"], Columns.REASON}


def test_a_malformed_line_is_known_by_what_is_wrong_with_it() -> None:
    wrong = "3 fields in a line instead of 2"
    events, users = log(GOOD), table("user", ["a", "a", "a"], age=[1.0, 1.0, 1.0])
    events.loc[1, Columns.MALFORMED] = wrong
    users.loc[1:, Columns.MALFORMED] = wrong
    result = cleaned(events, users=users, rules=Rules())
    for name, bad, left in (("events", 1, 2), ("users", 2, 1)):
        assert result.counts[name]["reasons"] == {wrong: bad}
        assert len(result.accepted[name]) == left
        assert Columns.MALFORMED not in {*result.accepted[name], *result.quarantined[name]}


def test_an_event_that_says_the_same_twice_counts_once() -> None:
    result = cleaned(log([GOOD[0], *GOOD]), log([GOOD[0]], "buys", "buy"))
    assert result.counts["events"]["duplicates"] == 1
    assert len(result.accepted["events"]) == 4
    assert result.accepted["events"][Columns.ROW].tolist()[0] == 2


def test_without_a_clock_a_second_time_is_not_a_duplicate() -> None:
    rows: list[Row] = [("a", "i", np.nan), ("a", "i", np.nan)]
    result = cleaned(log(rows), rules=Rules(clock=False))
    assert len(result.accepted["events"]) == 2


def test_every_row_of_every_log_is_accounted_for() -> None:
    rows: list[Row] = [*GOOD, GOOD[0], (None, "i", NOW), ("a", "i", 5.0)]
    counts = cleaned(log(rows), log(GOOD, "buys", "buy")).counts["events"]
    assert counts["logs"]["views"]["reasons"] == {"no user": 1, "time before 1990": 1}
    for account in (counts, *counts["logs"].values()):
        gone_to = account["accepted"] + account["quarantined"] + account["duplicates"]
        assert gone_to == account["rows_in"]
        assert sum(account["reasons"].values()) == account["quarantined"]
    assert counts["rows_in"] == 9


def test_an_impossible_age_is_left_out_and_the_user_kept() -> None:
    users = table("user", ["a", "b"], age=[999.0, 40.0])
    result = cleaned(log(GOOD), users=users)
    assert result.accepted["users"]["age"].isna().tolist() == [True, False]
    assert len(result.accepted["events"]) == 3
    copy = result.quarantined["users"].iloc[0]
    assert (copy["age"], copy["row"], copy["reason"]) == (999.0, 2, "impossible age" + LEFT_OUT)
    assert result.counts["users"]["left_out"] == {"impossible age": 1}
    assert result.counts["users"]["quarantined"] == 0


def test_of_a_user_listed_twice_the_first_row_counts() -> None:
    users = table("user", ["a", "b", "a", "b", None], age=[30.0, 40.0, 30.0, 41.0, 1.0])
    result = cleaned(log(GOOD), users=users)
    assert result.accepted["users"]["age"].tolist() == [30.0, 40.0]
    assert result.counts["users"]["duplicates"] == 1
    assert result.counts["users"]["reasons"] == {"repeated id": 1, "no user": 1}


def test_a_quarantined_row_with_a_wrong_value_is_there_once() -> None:
    users = table("user", ["a", "b", None], age=[30.0, 40.0, 999.0])
    assert len(cleaned(log(GOOD), users=users).quarantined["users"]) == 1


def test_rows_set_aside_are_quarantined_but_not_bad() -> None:
    rules = Rules(behaviours=("view",), set_aside=("cancellation",))
    result = cleaned(log(GOOD), log(GOOD, "views", "cancellation"), rules=rules)
    counts = result.counts["events"]
    assert (counts["quarantined"], counts["set_aside"], bad_share(counts)) == (3, 3, 0.0)


def test_each_expectation_reports_what_it_looked_at_and_found() -> None:
    result = expectations(cleaned(log([*GOOD, (None, "i", NOW)])))
    no_user = [e for e in result if e["table"] == "events" and e["reason"] == "no user"]
    assert no_user == [
        {
            "table": "events",
            "column": "user",
            "expectation": "ExpectColumnValuesToNotBeNull",
            "bounds": {},
            "reason": "no user",
            "checked": 4,
            "unexpected": 1,
        }
    ]


def limits(**given: Any) -> Validate:
    return Validate.model_validate({"min_events": 1, **given})


def test_a_log_that_is_fit_is_let_through() -> None:
    judge(cleaned(log(GOOD)), limits(), no_cells())


def test_too_many_bad_rows_stop_the_run_and_each_reason_is_shown() -> None:
    result = cleaned(log([*GOOD, (None, "i", NOW), (None, "i", NOW), ("a", "z", NOW)]))
    with pytest.raises(TooManyQuarantinedError) as stopped:
        judge(result, limits(max_quarantined=0.4), no_cells())
    assert stopped.value.reasons == {"no user": 2, "unknown item": 1}
    assert "no user: 2 (first views.csv:5), unknown item: 1 (first views.csv:7)" in str(
        stopped.value
    )
    judge(result, limits(max_quarantined=0.5), no_cells())


def test_a_log_with_no_good_row_stops_the_run_however_small_it_is() -> None:
    result = cleaned(log(GOOD * 20), log([("a", "i", 1.0)], "buys", "buy"))
    with pytest.raises(NothingAcceptedError, match="the only row of the log `buys` is invalid"):
        judge(result, limits(), no_cells())


@pytest.mark.parametrize(
    ("rows", "what"),
    [(GOOD[:1], "events"), ([GOOD[0], GOOD[2]], "users"), ([GOOD[1], GOOD[2]], "items")],
)
def test_too_few_events_users_or_items_stop_the_run(rows: list[Row], what: str) -> None:
    with pytest.raises(
        TooFewError, match=f"1 {what[:-1]} after validation, validate.min_{what} requires 2"
    ):
        judge(cleaned(log(rows)), limits(min_events=2), no_cells())


MANY: list[Row] = [
    (user, item, NOW + n) for n in range(100) for user, item in (("a", "i"), ("b", "j"))
]


def test_a_third_of_one_behaviour_stops_the_run_though_it_is_little_of_all() -> None:
    buys: list[Row] = [*MANY[:20], *[("a", None, NOW)] * 10]
    result = cleaned(log(MANY), log(buys, "views", "buy"))
    assert bad_share(result.counts["events"]) < 0.05
    with pytest.raises(
        TooManyQuarantinedError, match=r"33\.33% of the rows of the behaviour `buy` are bad"
    ):
        judge(result, limits(), no_cells())
    judge(result, limits(max_quarantined=0.34), no_cells())


def test_a_third_of_one_log_stops_the_run() -> None:
    result = cleaned(log(MANY), log([*MANY[:20], *[(None, "i", NOW)] * 10], "apps"))
    with pytest.raises(
        TooManyQuarantinedError, match="of the rows of the log `apps` are bad, .*: no user: 10 "
    ):
        judge(result, limits(), no_cells())


def test_a_third_of_a_table_of_users_or_items_stops_the_run() -> None:
    ids: list[str | None] = ["a", "b", *(f"u{n}" for n in range(18)), *["a"] * 10]
    users = table("user", ids, age=[float(n) for n in range(30)])
    with pytest.raises(
        TooManyQuarantinedError, match="of the table of users are bad, .*: repeated id: 10 "
    ):
        judge(cleaned(log(MANY), users=users), limits(), no_cells())
    items = table("item", ["i", "j", *[None] * 10], price=[1.0] * 12)
    with pytest.raises(
        TooManyQuarantinedError, match="of the table of items are bad, .*: no item: 10 "
    ):
        judge(cleaned(log(MANY), items=items), limits(), no_cells())


def test_items_that_are_unknown_as_their_own_rows_are_bad_point_to_those() -> None:
    items = table("item", ["i", "j", "k"])
    items.loc[2, Columns.MALFORMED] = "3 fields in a line instead of 2"
    result = cleaned(log([*GOOD, ("a", "k", NOW)]), items=items)
    with pytest.raises(TooManyQuarantinedError) as stopped:
        judge(result, limits(max_quarantined=0.1), no_cells())
    assert "unknown item: 1 (first views.csv:5)" in str(stopped.value)
    assert "; of the table of items itself: 3 fields in a line instead of 2: 1 (first " in str(
        stopped.value
    )


def test_items_that_the_table_lacks_may_be_kept_which_is_said() -> None:
    with pytest.raises(
        TooManyQuarantinedError, match=r"validate\.unknown_items: keep accepts items"
    ):
        judge(cleaned(log([*GOOD, ("a", "k", NOW)])), limits(max_quarantined=0.1), no_cells())


def test_a_few_bad_rows_say_nothing_about_a_small_part() -> None:
    judge(cleaned(log(MANY), log([*GOOD, (None, "i", NOW)], "apps")), limits(), no_cells())


def test_accepted_rows_are_counted_by_log_behaviour_and_table() -> None:
    rules = Rules(behaviours=("view", "buy"), set_aside=("cancellation",))
    logs = log(GOOD), log(GOOD[:2], "buys", "buy"), log(GOOD, "views", "cancellation")
    assert accepted_rows(cleaned(*logs, rules=rules).counts) == {
        "the log `views`": 3, "the log `buys`": 2, "the behaviour `view`": 3,
        "the behaviour `buy`": 2, "the table of users": 2, "the table of items": 2,
    }  # fmt: skip


def test_a_time_of_no_plausible_year_is_quarantined_on_both_sides() -> None:
    year_55841 = 1_700_000_600_000.0
    result = cleaned(log([*GOOD, ("a", "i", 12.0), ("a", "i", year_55841)]))
    assert result.quarantined["events"]["reason"].tolist() == [
        "time before 1990",
        "time after 2099",
    ]


def test_bad_times_are_shown_as_they_were_written_or_read_with_the_known_forms() -> None:
    result = cleaned(log([*GOOD, ("a", "i", np.nan), ("a", "i", 12.0), ("a", "i", 5e9)]))
    cells = pd.DataFrame([("events", "views.csv", 5, "time", "soon")], columns=list(CELL_COLUMNS))
    with pytest.raises(TooManyQuarantinedError) as stopped:
        judge(result, limits(), cells)
    message = str(stopped.value)
    assert "no readable time: 1 (first views.csv:5 `soon`)" in message
    assert "time before 1990: 1 (first views.csv:6, read as 1970-01-01 00:00:12 UTC)" in message
    assert "time after 2099: 1 (first views.csv:7, read as 2128-06-11 08:53:20 UTC)" in message
    assert "times are read as seconds, milliseconds" in message and "ingest.time_format" in message
