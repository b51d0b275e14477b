"""Split rows into accepted, quarantined (with a reason) and duplicate; every row is counted.

An invalid event is quarantined. An impossible attribute (an age of 999) does not cost the user:
the value becomes missing and a copy of the row goes to quarantine. If a user or an item is listed
twice, the first row is used; an identical second row is a duplicate, a different one is
quarantined. An event identical to an earlier one is a duplicate only if events have times: without
times it may well be a repetition.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data import checks
from decant.data.checks import Check, Finding
from decant.data.rules import Rules, latest_plausible
from decant.data.sources.times import KNOWN, moment
from decant.data.tables import ORIGIN
from decant.params.data import Validate

SAME_EVENT = [
    Columns.SOURCE,
    Columns.USER,
    Columns.ITEM,
    Columns.BEHAVIOUR,
    Columns.TIME,
    Columns.RATING,
]
LEFT_OUT = ": value left out, row kept"
ALL_EVENTS = "all logs"
FEW = 10  # fewer bad rows than this say nothing about one part


class TooManyQuarantinedError(ValueError):
    """The share of bad rows of `whose` exceeds `limit`; `reasons` has the count of each reason."""

    def __init__(
        self, whose: str, share: float, limit: float, reasons: dict[str, int], examples: str
    ) -> None:
        self.whose, self.share, self.limit, self.reasons = whose, share, limit, reasons
        super().__init__(
            f"{share:.2%} of the rows of {whose} are bad, validate.max_quarantined allows "
            f"{limit:.2%}: {examples}; repair the logs, or raise the limit if this is expected"
        )


class NothingAcceptedError(ValueError):
    """A log has rows, but none of them is valid."""

    def __init__(self, source: str, rows: int, examples: str) -> None:
        self.source, self.rows = source, rows
        subject = f"all {rows:,} rows of the log `{source}` are"
        if rows == 1:
            subject = f"the only row of the log `{source}` is"
        super().__init__(f"{subject} invalid: {examples}")


class TooFewError(ValueError):
    """Too few events, users or items remain to train on."""

    def __init__(self, what: str, count: int, needed: int) -> None:
        self.what, self.count, self.needed = what, count, needed
        name = what.removesuffix("s") if count == 1 else what
        super().__init__(
            f"{count:,} {name} after validation, validate.min_{what} requires {needed:,}"
        )


@dataclass(frozen=True)
class Cleaned:
    """Frames by table name (events, users, items), and the account of every row.

    `quarantined` has the columns of its table and `reason`. `findings`: the result of each
    expectation, by table.
    """

    accepted: dict[str, pd.DataFrame]
    quarantined: dict[str, pd.DataFrame]
    counts: dict[str, Any]
    findings: dict[str, list[Finding]]


def clean(tables: dict[str, pd.DataFrame], rules: Rules) -> Cleaned:
    """Separate good rows from bad ones in events, users and items; see the module docstring."""
    users = clean_attributes(tables["users"], Columns.USER)
    items = clean_attributes(tables["items"], Columns.ITEM)
    known = (users[0][Columns.USER], items[0][Columns.ITEM])
    events = clean_events(tables["events"], rules, *known)
    parts = {"events": events, "users": users, "items": items}
    return Cleaned(
        accepted={name: part[0] for name, part in parts.items()},
        quarantined={name: part[1] for name, part in parts.items()},
        counts={name: part[2] for name, part in parts.items()},
        findings={name: part[3] for name, part in parts.items()},
    )


Part = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], list[Finding]]


def clean_events(events: pd.DataFrame, rules: Rules, users: pd.Series, items: pd.Series) -> Part:
    """Accepted and quarantined events, counts for each log and in all, findings.

    `users`, `items`: the known ids.
    """
    events = events.reset_index(drop=True)
    latest = latest_plausible(events[Columns.TIME].to_numpy())
    looked_at = events.assign(
        **{
            checks.KNOWN_USER: events[Columns.USER].isin(users) | events[Columns.USER].isna(),
            checks.KNOWN_ITEM: events[Columns.ITEM].isin(items) | events[Columns.ITEM].isna(),
        }
    )
    findings = checks.find(looked_at, checks.event_checks(rules, latest))
    reason = in_detail(first_reasons(len(events), findings), events[Columns.MALFORMED])
    bad = reason.notna()
    twice = pd.Series(False, index=events.index)
    if rules.clock:
        twice[~bad] = events.loc[~bad, SAME_EVENT].duplicated()
    kept = events.drop(columns=Columns.MALFORMED)
    accepted = kept[~bad & ~twice].reset_index(drop=True)
    quarantined = kept[bad].assign(**{Columns.REASON: reason[bad]}).reset_index(drop=True)
    logs = {
        str(log): _account(rows.index, reason, twice, rules.set_aside)
        for log, rows in events.groupby(Columns.SOURCE, sort=False)
    }
    behaviours = {
        str(name): _account(rows.index, reason, twice, rules.set_aside)
        for name, rows in events.groupby(Columns.BEHAVIOUR, sort=True)
        if name not in rules.set_aside
    }
    counts = {
        **_account(events.index, reason, twice, rules.set_aside),
        "logs": logs,
        "behaviours": behaviours,
    }
    assert counts["accepted"] == len(accepted) and counts["quarantined"] == len(quarantined)
    return accepted, quarantined, counts, findings


def clean_attributes(table: pd.DataFrame, key: str) -> Part:
    """Accepted rows (without their origin), quarantined rows and copies, counts, findings."""
    table = table.reset_index(drop=True)
    content = [str(column) for column in table if column not in ORIGIN]
    malformed = table[Columns.MALFORMED]
    named = table[key].notna() & malformed.isna()
    twice = table.duplicated(content) & named
    repeated = table[key].duplicated() & named & ~twice
    looked_at = table.assign(**{checks.REPEATED: repeated})
    findings = checks.find(looked_at, checks.attribute_checks(key, table))
    rows = [finding for finding in findings if not finding.check.repair]
    reason = in_detail(first_reasons(len(table), rows), malformed)
    table = table.drop(columns=Columns.MALFORMED)
    good = reason.isna() & ~twice
    accepted, copies = table[good].copy(), []
    for finding in findings:
        if finding.check.repair:
            wrong = finding.rows[good.to_numpy()[finding.rows]]
            accepted.loc[wrong, finding.check.column] = np.nan
            copies.append(table.loc[wrong].assign(reason=finding.check.reason + LEFT_OUT))
    bad = table[reason.notna()].assign(reason=reason[reason.notna()])
    quarantined = pd.concat([bad, *copies], ignore_index=True)
    counts = _account(table.index, reason, twice, ())
    counts["left_out"] = {
        str(why).removesuffix(LEFT_OUT): int(n)
        for copy in copies
        for why, n in copy[Columns.REASON].value_counts().items()
    }
    assert counts["accepted"] == len(accepted)
    return accepted[content].reset_index(drop=True), quarantined, counts, findings


def first_reasons(rows: int, findings: Sequence[Finding]) -> pd.Series:
    """For each row the reason of the first check it fails, else missing; str."""
    reason = np.full(rows, None, dtype=object)
    for finding in reversed(findings):
        reason[finding.rows] = finding.check.reason
    return pd.Series(reason, dtype="str")


def in_detail(reason: pd.Series, malformed: pd.Series) -> pd.Series:
    """Reasons, replaced by the specific problem for malformed lines; str."""
    return reason.where(malformed.isna(), malformed)


def _account(
    rows: pd.Index, reason: pd.Series, twice: pd.Series, set_aside: tuple[str, ...]
) -> dict[str, Any]:
    """Count `rows` by outcome; every row has exactly one."""
    reasons = {str(why): int(n) for why, n in reason[rows].value_counts().items()}
    account: dict[str, Any] = {
        "rows_in": len(rows),
        "accepted": int((reason[rows].isna() & ~twice[rows]).sum()),
        "quarantined": sum(reasons.values()),
        "duplicates": int(twice[rows].sum()),
        "set_aside": sum(n for why, n in reasons.items() if why in set_aside),
        "reasons": reasons,
    }
    gone_to = account["accepted"] + account["quarantined"] + account["duplicates"]
    assert gone_to == account["rows_in"], account
    return account


def bad_share(counts: dict[str, Any]) -> float:
    """Share of bad rows: quarantined, but not set aside."""
    bad = counts["quarantined"] - counts["set_aside"]
    return float(bad / max(counts["rows_in"], 1))


def judge(cleaned: Cleaned, settings: Validate, cells: pd.DataFrame) -> None:
    """Reject logs and tables that are not fit for training.

    `cells`: unparsed cells (`Tables.unparsed`), for the message.

    Raises:
        NothingAcceptedError: a log without a single valid row.
        TooManyQuarantinedError: above `settings.max_quarantined` overall, or in one log, behaviour
            or table with at least `FEW` quarantined rows.
        TooFewError: too few events, users or items.
    """
    counts = cleaned.counts["events"]
    quarantined = cleaned.quarantined["events"]
    for log, account in counts["logs"].items():
        if not account["accepted"] and not account["duplicates"]:
            own = quarantined[quarantined[Columns.SOURCE] == log]
            shown = examples(own, cells) + causes_in_tables(cleaned, account["reasons"], cells)
            raise NothingAcceptedError(log, account["rows_in"], shown)
    limit = settings.max_quarantined
    for whose, account, rows in _parts(cleaned):
        share = bad_share(account)
        enough = whose == ALL_EVENTS or account["quarantined"] >= FEW
        if share > limit and enough:
            shown = examples(rows, cells) + causes_in_tables(cleaned, account["reasons"], cells)
            raise TooManyQuarantinedError(whose, share, limit, account["reasons"], shown)
    events = cleaned.accepted["events"]
    sizes = {
        "events": len(events),
        "users": events[Columns.USER].nunique(),
        "items": events[Columns.ITEM].nunique(),
    }
    for what, number in sizes.items():
        needed = getattr(settings, f"min_{what}")
        if number < needed:
            raise TooFewError(what, number, needed)


def accepted_rows(counts: dict[str, Any]) -> dict[str, int]:
    """Number of accepted rows of each log, behaviour and table."""
    events = counts["events"]
    parts = {f"the log `{name}`": account for name, account in events["logs"].items()}
    parts |= {f"the behaviour `{name}`": account for name, account in events["behaviours"].items()}
    parts |= {f"the table of {name}": counts[name] for name in ("users", "items")}
    return {whose: account["accepted"] for whose, account in parts.items()}


def _parts(cleaned: Cleaned) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Each part that is judged: its name, the account of its rows, its quarantined rows."""
    counts, bad = cleaned.counts["events"], cleaned.quarantined["events"]
    yield ALL_EVENTS, counts, bad
    for name, account in counts["logs"].items():
        yield f"the log `{name}`", account, bad[bad[Columns.SOURCE] == name]
    for name, account in counts["behaviours"].items():
        yield f"the behaviour `{name}`", account, bad[bad[Columns.BEHAVIOUR] == name]
    for name in ("users", "items"):
        yield f"the table of {name}", cleaned.counts[name], lost(cleaned, name)


def lost(cleaned: Cleaned, table: str) -> pd.DataFrame:
    """Rows of a table that were quarantined entirely, not for a single value."""
    rows = cleaned.quarantined[table]
    return rows[~rows[Columns.REASON].str.endswith(LEFT_OUT)]


def causes_in_tables(cleaned: Cleaned, reasons: dict[str, int], cells: pd.DataFrame) -> str:
    """Why users or items are unknown: quarantined rows of their own table; what to do if the
    table lacks items."""
    causes = ""
    for name in ("users", "items"):
        rows = lost(cleaned, name)
        if f"unknown {name.removesuffix('s')}" not in reasons:
            continue
        if len(rows):
            causes += f"; of the table of {name} itself: {examples(rows, cells)}"
        elif name == "items":
            causes += "; validate.unknown_items: keep accepts items missing from the items table"
    return causes


def examples(quarantined: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Each reason with its count and first occurrence, most frequent first; for times also the
    cell and the supported formats."""
    parts, reasons = [], quarantined[Columns.REASON].value_counts()
    for reason, count in reasons.items():
        rows = quarantined[quarantined[Columns.REASON] == reason]
        first = rows.sort_values([Columns.FILE, Columns.ROW]).iloc[0]
        place = f"first {first[Columns.FILE]}:{first[Columns.ROW]}{_cell(first, cells)}"
        parts.append(f"{reason}: {count:,} ({place})")
    about_times = {checks.NO_TIME, checks.TOO_EARLY, checks.TOO_LATE} & set(reasons.index)
    return ", ".join(parts) + (f"; {KNOWN}" if about_times else "")


def _cell(row: pd.Series, cells: pd.DataFrame) -> str:
    """The time of a quarantined row as written or as read."""
    reason = row[Columns.REASON]
    if reason in (checks.TOO_EARLY, checks.TOO_LATE):
        return f", read as {moment(float(row[Columns.TIME]))}"
    place = (cells[Columns.FILE] == row[Columns.FILE]) & (cells[Columns.ROW] == row[Columns.ROW])
    written = cells.loc[place & (cells["column"] == Columns.TIME), "value"]
    if reason != checks.NO_TIME:
        return ""
    return f" `{written.iloc[0]}`" if len(written) else ", an empty cell"


def expectations(cleaned: Cleaned) -> list[dict[str, Any]]:
    """The result of each expectation as plain values."""
    return [
        {
            "table": table,
            "column": finding.check.column,
            "expectation": finding.check.expectation,
            "bounds": _plain(finding.check),
            "reason": finding.check.reason,
            "checked": finding.checked,
            "unexpected": len(finding.rows),
        }
        for table, findings in cleaned.findings.items()
        for finding in findings
    ]


def _plain(check: Check) -> dict[str, Any]:
    return {name: value for name, value in check.arguments.items() if value is not None}
