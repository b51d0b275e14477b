"""Encode all events: the encoder, all sequences with their split, feature tables."""

import numpy as np
import pandas as pd

from decant.data.prepare import prepare
from decant.params.types import OWN
from tasks.runner.step import Summary, Workspace, program

TABLES = ("events", "users", "items")


def run(workspace: Workspace) -> Summary:
    """Read the accepted tables, prepare them, write the inputs of all later stages."""
    validated, params = workspace.input("validated"), workspace.params
    events, users, items = (pd.read_parquet(validated / f"{name}.parquet") for name in TABLES)
    missing = params.ingest.missing if params.source == OWN else []
    prepared = prepare(events, users, items, params.features, params.split, missing)
    output = workspace.output("features")
    prepared.encoder.save(output / "encoder.json")
    prepared.sequences.save(output / "sequences")
    prepared.users.to_parquet(output / "users.parquet", index=False)
    prepared.user_features.to_parquet(output / "user_features.parquet", index=False)
    prepared.items.to_parquet(output / "items.parquet", index=False)
    sequences = prepared.sequences
    length = np.diff(sequences.offsets)
    return {
        "events": len(events),
        "after_merging": len(sequences.items),
        "users": sequences.users,
        "items": len(prepared.encoder.items),
        "behaviours": list(prepared.encoder.behaviours),
        "attributes": {n: a.size - 1 for n, a in prepared.encoder.attributes.items()},
        "events_per_user": {"median": float(np.median(length)), "longest": int(length.max())},
        "training_events": int(sequences.split[:, 0].sum()),
        "validation_events": int((sequences.split[:, 1] - sequences.split[:, 0]).sum()),
        "test_events": int((length - sequences.split[:, 1]).sum()),
        "split": params.split.method,
    }


def describe(summary: Summary) -> str:
    return (
        f"**{summary['users']:,} users, {summary['items']:,} items**, "
        f"{summary['events']:,} events ({summary['after_merging']:,} after merging)\n\n"
        f"| part | events |\n|---|---|\n"
        f"| training | {summary['training_events']:,} |\n"
        f"| validation | {summary['validation_events']:,} |\n"
        f"| test | {summary['test_events']:,} |\n\n"
        f"Split: {summary['split']}. Behaviours: {', '.join(summary['behaviours'])}."
    )


if __name__ == "__main__":
    program(run)
