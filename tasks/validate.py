"""Check every row: accepted rows go on, the others go to quarantine with the reason."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from decant.columns import Columns
from decant.data.clean import Cleaned, bad_share, clean, expectations, judge
from decant.data.rules import rules_for
from decant.data.tables import count_cells, markdown, read_frames, write_frames
from tasks.program import SUMMARY, Summary, Workspace, program

KEPT = Path(".decant/quarantine")  # of a stage that failed: its outputs are removed


class DataRejected(ValueError):
    """The logs are not fit to learn from; `kept` is where the `rows` in quarantine lie, if any."""

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
    rules = rules_for(
        workspace.params.source,
        clock=facts["clock"],
        users=len(tables["users"]),
        items=len(tables["items"]),
    )
    cleaned = clean(tables, rules)
    quarantine = {**cleaned.quarantined, "cells": unparsed}
    kept = workspace.root / KEPT
    try:
        judge(cleaned, workspace.params.validation)
    except ValueError as problem:
        keep(quarantine, kept)
        raise DataRejected(problem, len(quarantine["events"]), KEPT) from problem
    shutil.rmtree(kept, ignore_errors=True)
    write_frames(cleaned.accepted, workspace.output("validated"))
    write_frames(quarantine, workspace.output("quarantine"))
    print(account("events", cleaned.counts["events"]))
    for name in ("users", "items"):
        if cleaned.counts[name]["quarantined"]:
            print(account(name, cleaned.counts[name]))
    return {**summarise(cleaned), "unparsed": count_cells(unparsed)}


def account(table: str, rows: dict[str, Any]) -> str:
    """Where the rows of a table went, in a line."""
    return (
        f"{rows['rows_in']:,} rows of {table}: {rows['accepted']:,} accepted, "
        f"{rows['quarantined']:,} in data/quarantine, {rows['duplicates']:,} duplicates"
    )


def keep(quarantine: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write quarantined rows where a failed stage does not take them away, as CSV."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, rows in quarantine.items():
        rows.to_csv(temporary / f"{name}.csv", index=False)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def summarise(cleaned: Cleaned) -> Summary:
    """Where every row went, and what is left."""
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
    return page + (f"\n\n{markdown(('rows', 'reason', 'count'), reasons)}" if reasons else "")


if __name__ == "__main__":
    program(run)
