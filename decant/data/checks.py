"""Expectations on rows; the only module that imports Great Expectations, which takes long.

A check is an expectation on one column and the reason to record for a row that fails it. All
failing rows are reported, not a sample.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.rules import Rules
from decant.features.values import EARLIEST, LATEST, RANGES

LONGEST = 300  # characters of a message
KNOWN_USER, KNOWN_ITEM, REPEATED = "user is known", "item is known", "id is repeated"
NO_TIME, TOO_EARLY, TOO_LATE = "no readable time", "time before 1990", "time after 2099"


class CheckBrokenError(RuntimeError):
    """An expectation could not be evaluated; a check that does not run must not pass."""

    def __init__(self, check: "Check", problem: str) -> None:
        self.check = check
        super().__init__(f"{check.expectation} on `{check.column}` could not run: {problem}")


@dataclass(frozen=True)
class Check:
    """`expectation` (a class of Great Expectations) of `column`; a failing row has `reason`.

    `repair`: only the value is wrong, not the row; the value becomes missing.
    """

    reason: str
    column: str
    expectation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    repair: bool = False


@dataclass(frozen=True)
class Finding:
    """Result of a check: number of rows checked, positions (int64, ascending) of failing rows."""

    check: Check
    checked: int
    rows: np.ndarray


def event_checks(rules: Rules, latest: float) -> list[Check]:
    """The checks of events; a time (s) after `latest` is in the future.

    A row that fails several checks gets the reason of the first.
    """
    checks = [_well_formed(), *(_not_in(Columns.BEHAVIOUR, name) for name in rules.set_aside)]
    checks += [_present(c) for c in (Columns.USER, Columns.ITEM, Columns.BEHAVIOUR)]
    if rules.behaviours:
        allowed = [*rules.behaviours, *rules.set_aside]
        checks.append(_in("unknown behaviour", Columns.BEHAVIOUR, allowed))
    if rules.clock:
        checks += [
            Check(NO_TIME, Columns.TIME, "ExpectColumnValuesToNotBeNull"),
            _between(TOO_EARLY, Columns.TIME, EARLIEST, None),
            _between(TOO_LATE, Columns.TIME, None, float(np.nextafter(LATEST, 0))),
        ]
        if np.isfinite(latest):
            checks.append(_between("time in the future", Columns.TIME, None, latest))
    if rules.known_users:
        checks.append(_in("unknown user", KNOWN_USER, [True]))
    if rules.known_items:
        checks.append(_in("unknown item", KNOWN_ITEM, [True]))
    if rules.rated:
        low, high = RANGES[Columns.RATING]
        checks += [
            _present(Columns.RATING),
            _between("impossible rating", Columns.RATING, low, high),
        ]
    return checks


def attribute_checks(key: str, table: pd.DataFrame) -> list[Check]:
    """The checks of users or items: a unique id, numeric attributes within their ranges."""
    checks = [_well_formed(), _present(key), _in("repeated id", REPEATED, [False])]
    for column, (low, high) in RANGES.items():
        if column in table and pd.api.types.is_numeric_dtype(table[column]):
            checks.append(_between(f"impossible {column}", column, low, high, repair=True))
    return checks


def find(table: pd.DataFrame, checks: Sequence[Check]) -> list[Finding]:
    """Run checks on a table; returns one finding per check, in the same order.

    Raises:
        CheckBrokenError: an expectation raised an exception.
    """
    gx = _great_expectations()
    looked_at = list(dict.fromkeys(check.column for check in checks))
    # with a plain index, failing rows are returned as positions; a key column instead takes
    # twenty times as long for a quarter of a million failing rows
    frame = table[looked_at].reset_index(drop=True)
    batch = _batch(gx, frame)
    suite = gx.ExpectationSuite(
        name="rows",
        expectations=[
            getattr(gx.expectations, check.expectation)(
                column=check.column, meta={"check": number}, **check.arguments
            )
            for number, check in enumerate(checks)
        ],
    )
    result = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    outcomes = {r.expectation_config.meta["check"]: r for r in result.results}
    return [_finding(check, outcomes[number]) for number, check in enumerate(checks)]


def _finding(check: Check, outcome: Any) -> Finding:
    problem = outcome.exception_info
    if "unexpected_index_list" not in outcome.result:
        raise CheckBrokenError(check, _first_message(problem))
    rows = np.array(outcome.result["unexpected_index_list"] or [], dtype=np.int64)
    if outcome.success != (len(rows) == 0) or len(rows) != outcome.result["unexpected_count"]:
        raise CheckBrokenError(
            check, f"{outcome.result['unexpected_count']} failing rows, but {len(rows)} positions"
        )
    return Finding(check, int(outcome.result["element_count"]), np.sort(rows))


def _first_message(problem: Any) -> str:
    """First line of the messages of Great Expectations, which come with tracebacks per metric."""
    parts = [problem, *problem.values()] if isinstance(problem, dict) else []
    messages = [
        p["exception_message"] for p in parts if isinstance(p, dict) and "exception_message" in p
    ]
    return next((str(t).strip().splitlines()[0] for t in messages if t), "no reason is given")[
        :LONGEST
    ]


def _batch(gx: ModuleType, frame: pd.DataFrame) -> Any:
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset("table")
    return asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})


def _great_expectations() -> ModuleType:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when it is imported
    import great_expectations

    return great_expectations


def _well_formed() -> Check:
    return Check("malformed line", Columns.MALFORMED, "ExpectColumnValuesToBeNull")


def _present(column: str) -> Check:
    return Check(f"no {column}", column, "ExpectColumnValuesToNotBeNull")


def _in(reason: str, column: str, allowed: list[Any]) -> Check:
    return Check(reason, column, "ExpectColumnValuesToBeInSet", {"value_set": allowed})


def _not_in(column: str, value: str) -> Check:
    return Check(value, column, "ExpectColumnValuesToNotBeInSet", {"value_set": [value]})


def _between(
    reason: str, column: str, low: float | None, high: float | None, *, repair: bool = False
) -> Check:
    bounds = {"min_value": low, "max_value": high}
    return Check(reason, column, "ExpectColumnValuesToBeBetween", bounds, repair)
