"""Read the raw logs of the source into three tables, with pseudonymised users."""

import pandas as pd

from decant.columns import Columns
from decant.data import privacy
from decant.data.sources import readers
from decant.data.tables import (
    NAMES,
    ORIGIN,
    Tables,
    count_cells,
    markdown,
    with_a_row,
    write_frames,
)
from decant.data.vectors import write_vectors
from decant.files import digest_tree, write_json
from tasks.runner.step import Summary, Workspace, program

FILES_SHOWN = 8


def run(workspace: Workspace) -> Summary:
    """raw/<source> → ingested/{events,users,items,unparsed}.parquet, and the demo's `oracle`.

    item_vectors/<name>.parquet: external vectors; index.json: number of vectors by name.
    raw.json: sha256 of every raw file by name, which records a release's data.
    """
    params = workspace.params
    raw = workspace.input(f"raw/{params.source}")
    tables = readers.read(params.source, raw, params.ingest)
    key = privacy.load_key(workspace.root)
    pseudonymised = {
        name: table.assign(**{Columns.USER: privacy.pseudonymise(table[Columns.USER], key)})
        for name, table in (("events", tables.events), ("users", tables.users))
    }
    frames = {**pseudonymised, "items": tables.items, "unparsed": tables.unparsed}
    oracle = raw / "oracle.csv"
    if params.source == "demo" and oracle.is_file():
        best = pd.read_csv(oracle, dtype={Columns.USER: str, Columns.ITEM: str})
        best[Columns.USER] = privacy.pseudonymise(best[Columns.USER], key)
        frames["oracle"] = best
    folder = workspace.output("ingested")
    write_frames(frames, folder)
    write_json(folder / "raw.json", digest_tree(raw))
    vectors = workspace.output("item_vectors")
    write_vectors(tables.vectors, vectors)
    write_json(vectors / "index.json", {name: len(rows) for name, rows in tables.vectors.items()})
    summary = summarise(params.source, tables)
    for line in (*summary["notes"], *coverage(summary)):
        print(line)
    return summary


def summarise(source: str, tables: Tables) -> Summary:
    """Counts of the rows read."""
    logs = tables.events[Columns.SOURCE].value_counts(sort=False)
    return {
        "source": source,
        "clock": tables.clock,
        "files": list(tables.used),
        "rows": {name: len(getattr(tables, name)) for name in NAMES},
        "logs": {str(name): int(count) for name, count in logs.items()},
        "attributes": {
            "users": _attributes(tables.users, Columns.USER),
            "items": _attributes(tables.items, Columns.ITEM),
        },
        "with_a_row": {
            f"{key}s": list(with_a_row(tables.events, table, key))
            for key, table in ((Columns.USER, tables.users), (Columns.ITEM, tables.items))
            if len(table)
        },
        "unparsed": count_cells(tables.unparsed),
        "vectors": {name: len(rows) for name, rows in tables.vectors.items()},
        "notes": list(tables.notes),
    }


def describe(summary: Summary) -> str:
    """The counts as tables."""
    files = summary["files"]
    more = f" and {len(files) - FILES_SHOWN} more" if len(files) > FILES_SHOWN else ""
    rows = [(f"log {name}", count) for name, count in summary["logs"].items()]
    rows += [(f"table {name}", summary["rows"][name]) for name in ("users", "items")]
    rows += [(f"vectors {name}", count) for name, count in summary["vectors"].items()]
    rows += [(f"unreadable {name}", n) for name, n in sorted(summary["unparsed"].items())]
    clock = "with times" if summary["clock"] else "in order, without times"
    return (
        f"**Ingested {summary['source']}**, {summary['rows']['events']:,} events {clock}, "
        f"from {', '.join(files[:FILES_SHOWN])}{more}\n\n{markdown(('what', 'rows'), rows)}"
        + "".join(f"\n\n{line}." for line in (*summary["notes"], *coverage(summary)))
    )


def coverage(summary: Summary) -> list[str]:
    """How many users and items of the events have a row in their table, one line each."""
    return [
        f"{described:,} of the {total:,} {name} in the events have a row in the table of {name}"
        for name, (described, total) in summary["with_a_row"].items()
    ]


def _attributes(table: pd.DataFrame, key: str) -> list[str]:
    return [str(column) for column in table if column not in (key, *ORIGIN)]


if __name__ == "__main__":
    program(run)
