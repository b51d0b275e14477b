"""Accounts of rows, user groups, the split."""

from typing import Any

import pytest

from decant.report.origin import (
    accounts,
    fates,
    group_rows,
    period,
    reason_rows,
    split_words,
    unreadable,
)

NO_BREAK = "\u00a0"


def test_each_log_and_table_has_its_account_and_several_logs_have_a_sum(run: Any) -> None:
    validated = run.origin.validated
    assert [*accounts(validated)] == ["log views", "table users", "table items"]
    validated["events"]["logs"]["carts"] = {"rows_in": 7}
    both = accounts(validated)
    assert [*both] == ["log views", "log carts", "all logs", "table users", "table items"]
    assert both["all logs"]["rows_in"] == 103
    assert accounts({}) == {}


def test_rows_set_aside_have_a_column_only_where_there_are_some() -> None:
    assert "set_aside" not in fates({"log a": {"set_aside": 0}, "log b": {}})
    assert [*fates({"log a": {"set_aside": 3}})][-1] == "set_aside"


def test_reasons_are_counted_by_log_and_those_that_cost_a_value_alone_come_last(run: Any) -> None:
    rows = reason_rows(accounts(run.origin.validated))
    assert [(row.reason, row.kept, row.counts) for row in rows] == [
        ("no user", False, [2, 0, 0]),
        ("impossible age", True, [0, 7, 0]),
    ]


def test_groups_are_listed_with_rule_priority_and_sizes(run: Any, merged: Any) -> None:
    general, women, men = group_rows(run.evidence())
    assert (general.where, women.where, men.priority) == (None, "gender == 'F'", 1)
    assert women.sizes["users"] == 30 and not women.merged
    assert [row.merged for row in group_rows(merged.evidence())] == [False, False, True]


def test_a_group_that_was_not_measured_has_no_sizes(run: Any) -> None:
    evidence = run.evidence()
    del evidence.metrics["groups"]["women"]
    assert group_rows(evidence)[1].sizes == {}


def test_the_period_is_in_days_and_data_without_a_clock_says_so() -> None:
    assert period({"first_time": 0.0, "last_time": 86400.0}) == "1970-01-01 to 1970-01-02 (UTC)"
    assert period({"first_time": None, "last_time": None}).startswith("no times")


def test_unreadable_cells_are_listed_by_column() -> None:
    assert unreadable({"users.age": 1200, "events.time": 5}) == "events.time 5, users.age 1,200"
    assert unreadable({}) == "none"
    assert unreadable(None) == "not measured"


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"method": "time", "test": 0.1, "validation": 0.2, "cases_per_user": 4},
         "by time: the last 10 % of the events are test, the 20 % before them validation; at most "
         "4 cases per user and window"),
        ({"method": "by-user", "test": 0.2, "validation": 0.1, "cases_per_user": 9},
         "by user: the last 20 % of each user's events are test, the 10 % before them validation; "
         "at most 9 cases per user and window"),
        ({"method": "leave-one-out", "cases_per_user": 1},
         "leave-one-out: each user's last event is test, the one before it validation; at most 1 "
         "cases per user and window"),
        ({}, "not measured"),
    ],
)  # fmt: skip
def test_the_split_is_described(split: dict[str, Any], words: str) -> None:
    assert split_words(split).replace(NO_BREAK, " ") == words
