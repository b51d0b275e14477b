"""Check every row; rejected rows go to quarantine with the reason."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from decant.columns import Columns
from decant.data import accepted
from decant.data.clean import (
    Cleaned,
    accepted_rows,
    bad_share,
    clean,
    examples,
    expectations,
    judge,
    lost,
)
from decant.data.rules import rules_for
from decant.data.tables import count_cells, markdown, read_frames, write_frames
from decant.files import canonical, digest
from decant.params.load import Params
from tasks.runner.step import SUMMARY, Summary, Workspace, program

KEPT = Path(".decant/quarantine")  # of a failed stage, whose outputs are removed


class DataRejectedError(ValueError):
    """The logs are not fit for training; the `rows` in quarantine are written to `kept`, if any."""

    def __init__(self, problem: ValueError, rows: int, kept: Path) -> None:
        self.problem, self.rows, self.kept = problem, rows, kept
        what = f"{rows:,} quarantined {'row' if rows == 1 else 'rows'} with the reason"
        super().__init__(f"{problem}; {what}: {kept}/events.csv" if rows else str(problem))


def run(workspace: Workspace) -> Summary:
    """ingested → validated/{events,users,items}.parquet and quarantine/{…,cells}.parquet."""
    ingested = workspace.input("ingested")
    tables = read_frames(ingested)
    unparsed = read_frames(ingested, ["unparsed"])["unparsed"]
    facts = json.loads((ingested / SUMMARY).read_text(encoding="utf-8"))
    params = workspace.params
    settings = params.validation
    rules = rules_for(
        params.source,
        clock=facts["clock"],
        users=len(tables["users"]),
        items=len(tables["items"]),
        keep_unknown_items=settings.unknown_items == "keep",
    )
    cleaned = clean(tables, rules)
    quarantine = {**cleaned.quarantined, "cells": unparsed}
    kept = workspace.root / KEPT
    rows, key = accepted_rows(cleaned.counts), layout_key(params)
    try:
        judge(cleaned, settings, unparsed)
        accepted.compare(workspace.root, params.source, key, rows, settings.max_drop)
    except ValueError as problem:
        keep(quarantine, kept)
        raise DataRejectedError(problem, len(quarantine["events"]), KEPT) from problem
    shutil.rmtree(kept, ignore_errors=True)
    write_frames(cleaned.accepted, workspace.output("validated"))
    write_frames(quarantine, workspace.output("quarantine"))
    accepted.remember(workspace.root, params.source, key, rows)
    summary = {
        **summarise(cleaned),
        "unparsed": count_cells(unparsed),
        "notes": facts["notes"],
        "shown": {
            name: examples(bad, unparsed)
            for name in cleaned.quarantined
            if len(bad := lost(cleaned, name))
        },
        "unknown_items": unknown_items(cleaned) if settings.unknown_items == "keep" else 0,
    }
    for line in lines(summary):
        print(line)
    return summary


def layout_key(params: Params) -> str:
    """Key of comparable runs of a source: the same demo size, the same layout."""
    blocks = params.raw.model_dump(mode="json"), params.ingest.model_dump(mode="json")
    return digest(canonical(blocks))[:16]


def unknown_items(cleaned: Cleaned) -> int:
    """Number of items in the accepted events that the table of items lacks."""
    items = cleaned.accepted["items"][Columns.ITEM]
    ids = pd.Series(cleaned.accepted["events"][Columns.ITEM].unique())
    return int((~ids.isin(items)).sum()) if len(items) else 0


def lines(summary: Summary) -> list[str]:
    """Lines for the log: the account of the rows, and the values left out."""
    messages = [account("events", summary["events"])]
    for name in ("events", "users", "items"):
        if name != "events" and summary[name]["quarantined"]:
            messages.append(account(name, summary[name]))
        if name in summary["shown"]:
            messages.append(f"in quarantine of {name}: {summary['shown'][name]}")
        messages += [
            f"{count:,} {'value' if count == 1 else 'values'} of {name} left out: {why}"
            for why, count in summary[name].get("left_out", {}).items()
        ]
    messages += [
        f"{n:,} unreadable {'cell' if n == 1 else 'cells'} of {name}"
        for name, n in summary["unparsed"].items()
    ]
    if count := summary["unknown_items"]:
        subject = "item of the events is" if count == 1 else "items of the events are"
        messages.append(f"{count:,} {subject} not in the table of items")
    return messages


def account(table: str, rows: dict[str, Any]) -> str:
    """The account of a table's rows, in one line."""
    return (
        f"{rows['rows_in']:,} rows of {table}: {rows['accepted']:,} accepted, "
        f"{rows['quarantined']:,} in data/quarantine, {rows['duplicates']:,} duplicates"
    )


def keep(quarantine: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write quarantined rows as CSV to a folder that survives the failed stage."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, rows in quarantine.items():
        rows.to_csv(temporary / f"{name}.csv", index=False)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def summarise(cleaned: Cleaned) -> Summary:
    """The account of every row, and of the accepted data."""
    events = cleaned.accepted["events"]
    times = events[Columns.TIME].dropna()
    left: dict[str, Any] = {
        "events": len(events),
        "users": int(events[Columns.USER].nunique()),
        "items": int(events[Columns.ITEM].nunique()),
        "first_time": float(times.min()) if len(times) else None,
        "last_time": float(times.max()) if len(times) else None,
    }
    return {
        **cleaned.counts,
        "left": left,
        "bad_share": round(bad_share(cleaned.counts["events"]), 6),
        "expectations": expectations(cleaned),
    }


def describe(summary: Summary) -> str:
    """The account of every row as tables."""
    accounts = {f"log {name}": a for name, a in summary["events"]["logs"].items()}
    accounts |= {f"table {name}": summary[name] for name in ("users", "items")}
    fates = ("rows_in", "accepted", "quarantined", "duplicates")
    rows = [(name, *(account[fate] for fate in fates)) for name, account in accounts.items()]
    reasons = [
        (name, reason, count)
        for name, account in accounts.items()
        for reason, count in sorted((account["reasons"] | account.get("left_out", {})).items())
    ]
    reasons += [("cells", f"unreadable {name}", n) for name, n in summary["unparsed"].items()]
    left = summary["left"]
    page = (
        f"**Accepted {left['events']:,} events** of {left['users']:,} users on {left['items']:,} "
        f"items; {summary['bad_share']:.2%} of the event rows are bad\n\n"
        f"{markdown(('rows', 'in', 'accepted', 'quarantined', 'duplicates'), rows)}"
    )
    if reasons:
        page += f"\n\n{markdown(('rows', 'reason', 'count'), reasons)}"
    return page + "".join(f"\n\n{note}." for note in summary["notes"])


if __name__ == "__main__":
    program(run)
