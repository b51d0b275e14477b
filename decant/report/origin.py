"""The parts of the page about where the data came from and how it was measured."""

from datetime import UTC, datetime
from typing import Any

from decant.evaluation.evaluate import ALL
from decant.evaluation.lookup import figure
from decant.features.sequences import TEST, VALIDATION
from decant.report import formats
from decant.report.evidence import Evidence
from decant.report.hops import rule
from decant.report.markup import Cells, Raw, code, join, paragraph, section, table, tag

FATES = ("rows_in", "accepted", "quarantined", "duplicates")


def data_section(evidence: Evidence) -> Raw:
    """Source, what became of each row and why, the split, the groups."""
    validated = evidence.origin.validated
    source = str(evidence.metrics.get("protocol", {}).get("source", formats.NOT_MEASURED))
    return section(
        "data",
        "Where the data came from",
        facts(
            [
                ("Source", code(source)),
                ("Left to learn from", left(validated.get("left", {}))),
                ("Time", period(validated.get("left", {}))),
                ("Bad event rows", formats.percent(figure(validated, "bad_share"), 2)),
                ("Unreadable cells", unreadable(validated.get("unparsed"))),
                *features_facts(evidence.origin.features),
            ]
        ),
        *rows_tables(validated),
        expectations(validated.get("expectations", [])),
        groups_table(evidence),
    )


def facts(found: list[tuple[str, Raw | str]]) -> Raw:
    """Names and what they are."""
    pairs = (join([tag("dt", name), tag("dd", value)]) for name, value in found)
    return tag("dl", join(pairs, "\n"), class_="facts")


def left(counts: dict[str, Any]) -> str:
    """What is left after validation."""
    return ", ".join(f"{formats.count(counts.get(n))} {n}" for n in ("events", "users", "items"))


def period(counts: dict[str, Any]) -> str:
    """First and last day of the events."""
    first, last = (figure(counts, name) for name in ("first_time", "last_time"))
    if first is None or last is None:
        return "no clock: the order of the rows is the order of events"
    return f"{day(first)} to {day(last)} (UTC)"


def unreadable(cells: dict[str, int] | None) -> str:
    """Cells that held no value of their column's kind."""
    if cells is None:
        return formats.NOT_MEASURED
    return ", ".join(f"{c} {formats.count(n)}" for c, n in sorted(cells.items())) or "none"


def day(seconds: float) -> str:
    """A time as a date."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def features_facts(features: dict[str, Any]) -> list[tuple[str, Raw | str]]:
    """What the models see, and how it was split."""
    behaviours = ", ".join(features.get("behaviours", [])) or formats.NOT_MEASURED
    attributes = ", ".join(features.get("attributes", {})) or "none"
    parts = ("training", VALIDATION, TEST)
    split = ", ".join(f"{p} {formats.count(figure(features, f'{p}_events'))}" for p in parts)
    median = formats.count(figure(features, "events_per_user", "median"))
    longest = formats.count(figure(features, "events_per_user", "longest"))
    merged = formats.count(figure(features, "after_merging"))
    return [
        ("After merging", f"{merged} events; per user: median {median}, longest {longest}"),
        ("Split", f"{features.get('split', formats.NOT_MEASURED)}; events: {split}"),
        ("Behaviours", behaviours),
        ("User attributes", attributes),
    ]


def rows_tables(validated: dict[str, Any]) -> list[Raw]:
    """What became of each row of each log and table, and why rows were not accepted."""
    accounts = accounts_of(validated)
    if not accounts:
        return [paragraph("Rows: not measured.")]
    fates = [*FATES, "set_aside"] if any(a.get("set_aside") for a in accounts.values()) else FATES
    rows: list[Cells] = [
        [name, *(formats.count(account.get(fate)) for fate in fates)]
        for name, account in accounts.items()
    ]
    heads = [fate.replace("rows_in", "rows in").replace("_", " ") for fate in fates]
    tables = [table("What became of every row", ["rows", *heads], rows)]
    reasons = reasons_rows(accounts)
    if reasons:
        columns = ["reason", *accounts]
        tables.append(table("Why rows were quarantined, or a value left out", columns, reasons))
    return tables


def reasons_rows(accounts: dict[str, dict[str, Any]]) -> list[Cells]:
    """One row per reason, one count per log and table."""
    kinds = (
        ("reasons", Raw("")),
        ("left_out", tag("small", "the value was left out, the row kept")),
    )
    rows: list[Cells] = []
    for kind, note in kinds:
        found = sorted(
            {reason for account in accounts.values() for reason in account.get(kind, {})}
        )
        for reason in found:
            counts = (account.get(kind, {}).get(reason, 0) for account in accounts.values())
            rows.append([join([reason, note]), *(formats.count(count) for count in counts)])
    return rows


def accounts_of(validated: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The account of each log and each table of attributes, by name."""
    events = validated.get("events", {})
    accounts = {f"log {name}": account for name, account in events.get("logs", {}).items()}
    if len(accounts) > 1:
        accounts["all logs"] = events
    tables = {f"table {n}": validated[n] for n in ("users", "items") if n in validated}
    return {**accounts, **tables}


def expectations(found: list[dict[str, Any]]) -> Raw:
    """What was expected of the rows, folded away."""
    if not found:
        return paragraph("Expectations: not measured.")
    rows: list[Cells] = [
        [
            str(e["table"]),
            str(e["column"]),
            code(str(e["expectation"])),
            str(e["reason"]),
            formats.count(e["checked"]),
            formats.count(e["unexpected"]),
        ]
        for e in found
    ]
    kept = sum(not e["unexpected"] for e in found)
    columns = ["table", "column", "expectation", "else the row is", "checked", "unexpected"]
    return tag(
        "details",
        join(
            [
                tag("summary", f"{len(found)} expectations of the rows, {kept} met by every row"),
                table("Expectations", columns, rows, "wwwwnn"),
            ]
        ),
    )


def groups_table(evidence: Evidence) -> Raw:
    """Who is in which group, and how many cases each has."""
    folded = evidence.origin.segments.get("folded", [])
    rows: list[Cells] = []
    for name in evidence.students:
        counts = evidence.metrics["groups"].get(name, {})
        rows.append(
            [
                f"{name} (folded into general)" if name in folded else name,
                rule(evidence, name),
                formats.count(evidence.students[name].priority),
                *(
                    formats.count(counts.get(column))
                    for column in ("users", f"{VALIDATION}_cases", f"{TEST}_cases")
                ),
            ]
        )
    columns = ["group", "rule", "priority", "users", "validation cases", "test cases"]
    return table("User groups", columns, rows, "wwnnnn")


def protocol_section(evidence: Evidence) -> Raw:
    """How every number on the page was measured."""
    ranking = ranking_facts(evidence.metrics)
    return section("protocol", "How it was measured", facts([*ranking, *measuring_facts(evidence)]))


def ranking_facts(metrics: dict[str, Any]) -> list[tuple[str, Raw | str]]:
    """What was ranked, and on which cases."""
    protocol, missing = metrics.get("protocol", {}), formats.NOT_MEASURED
    cases = ", ".join(
        f"{formats.count(figure(metrics, 'groups', ALL, f'{window}_cases'))} {window}"
        for window in (VALIDATION, TEST)
    )
    again = {None: missing, True: "never recommended", False: "may be recommended again"}
    catalogue = formats.count(figure(metrics, "catalogue"))
    return [
        ("Split", split_words(protocol.get("split", {}))),
        ("Cases", f"{cases}; one event to predict each"),
        ("Ranked", f"{protocol.get('ranked', missing)}, {catalogue} items; no sampling"),
        ("Ties", str(protocol.get("ties", missing))),
        ("Items of the history", again[protocol.get("exclude_seen")]),
        ("Cut-off", f"k = {metrics['k']}"),
        ("Seed", str(protocol.get("seed", missing))),
    ]


def measuring_facts(evidence: Evidence) -> list[tuple[str, Raw | str]]:
    """What the figures mean."""
    k, resamples = evidence.metrics["k"], formats.count(evidence.resamples)
    return [
        (
            "Metrics",
            f"one item is right per case, so recall@{k} is HR@{k}, and precision@{k} is "
            f"HR@{k} ÷ {k}; coverage is the share of the catalogue recommended to anybody",
        ),
        (
            "Intervals",
            f"95 %, percentile bootstrap, users resampled, {resamples} resamples; "
            f"{formats.count(evidence.deciding_resamples)} where a segment's student is decided",
        ),
        (
            "Two halves of validation",
            "one half of the users picks epochs and what is pruned, the other half decides which "
            "segments' students ship",
        ),
        (
            "Latency",
            "single requests, one thread, all models in turn for each request in one process; "
            "compare ratios, not machines",
        ),
        ("Size", "the files that are served; 1 kB is 1,000 bytes"),
    ]


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
    if method == "leave-one-out":
        return (
            f"leave-one-out: each user's last event is test, the one before it validation; {most}"
        )
    return str(method)
