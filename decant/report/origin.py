"""Origin and split of the data: accounts of rows, user groups, the protocol."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from decant.evaluation.lookup import figure
from decant.features.sequences import TEST, VALIDATION
from decant.report import formats
from decant.report.evidence import Evidence
from decant.report.segments import is_merged

FATES = {
    "rows_in": "rows in",
    "accepted": "accepted",
    "quarantined": "quarantined",
    "duplicates": "duplicates",
}
SET_ASIDE = {"set_aside": "set aside"}


@dataclass(frozen=True)
class ReasonRow:
    """Counts of a reason in each log and table; `kept`: it dropped a value, not the row."""

    reason: str
    kept: bool
    counts: list[int]


@dataclass(frozen=True)
class GroupRow:
    """A user group: its rule, and its numbers of users and cases."""

    name: str
    where: str | None
    priority: int
    merged: bool
    sizes: dict[str, Any]


def accounts(validated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The account of each log and each table of attributes, by name."""
    events = validated.get("events", {})
    logs = {f"log {name}": account for name, account in events.get("logs", {}).items()}
    if len(logs) > 1:
        logs["all logs"] = events
    return {**logs, **{f"table {n}": validated[n] for n in ("users", "items") if n in validated}}


def fates(accounts: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Possible outcomes of a row, with their headings; `set_aside` only if some rows are."""
    aside = any(account.get("set_aside") for account in accounts.values())
    return {**FATES, **SET_ASIDE} if aside else FATES


def reason_rows(accounts: dict[str, dict[str, Any]]) -> list[ReasonRow]:
    """Why rows were quarantined, then why values were dropped."""
    rows = []
    for kind, kept in (("reasons", False), ("left_out", True)):
        reasons = {reason for account in accounts.values() for reason in account.get(kind, {})}
        for reason in sorted(reasons):
            counts = [account.get(kind, {}).get(reason, 0) for account in accounts.values()]
            rows.append(ReasonRow(reason, kept, counts))
    return rows


def group_rows(evidence: Evidence) -> list[GroupRow]:
    """Every user group."""
    sizes = evidence.metrics["groups"]
    return [
        GroupRow(name, s.where, s.priority, is_merged(evidence, name), sizes.get(name, {}))
        for name, s in evidence.students.items()
    ]


def period(left: dict[str, Any]) -> str:
    """First and last day of the accepted events."""
    first, last = (figure(left, name) for name in ("first_time", "last_time"))
    if first is None or last is None:
        return "no times: events are in the order of the rows"
    days = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in (first, last))
    return f"{' to '.join(days)} (UTC)"


def unreadable(cells: dict[str, int] | None) -> str:
    """Unreadable cells, by column."""
    if cells is None:
        return formats.NOT_MEASURED
    return ", ".join(f"{c} {formats.count(n)}" for c, n in sorted(cells.items())) or "none"


def split_words(split: dict[str, Any]) -> str:
    """The split in words."""
    method = split.get("method", formats.NOT_MEASURED)
    most = f"at most {formats.count(split.get('cases_per_user'))} cases per user and window"
    if method == "time":
        test, validation = (formats.percent(figure(split, w), 0) for w in (TEST, VALIDATION))
        return (
            f"by time: the last {test} of the events are test, the {validation} before them "
            f"validation; {most}"
        )
    if method == "by-user":
        test, validation = (formats.percent(figure(split, w), 0) for w in (TEST, VALIDATION))
        return (
            f"by user: the last {test} of each user's events are test, the {validation} before "
            f"them validation; {most}"
        )
    if method == "leave-one-out":
        return (
            f"leave-one-out: each user's last event is test, the one before it validation; {most}"
        )
    return str(method)
