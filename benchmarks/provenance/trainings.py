"""The trainings behind a benchmark's figures: each one's own time, machine and commit."""

import json
from pathlib import Path
from typing import Any

from tasks.runner.training_record import FOLDER, RECORD

Trainings = dict[str, dict[str, Any]]  # model -> the record of its training
SECONDS = "seconds"


def trainings(root: Path) -> Trainings:
    """The record of every training in a workspace, by model; none of models that were merged."""
    records = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((root / "data" / FOLDER).glob(f"*/{RECORD}"))
    }
    return {name: record for name, record in records.items() if record["trainings"]}


def together(trained: Trainings) -> list[dict[str, Any]]:
    """Trainings with all equal but their time, as one entry with the seconds of each model."""
    groups: dict[str, dict[str, Any]] = {}
    for model, record in trained.items():
        common = {name: value for name, value in record.items() if name != SECONDS}
        entry = groups.setdefault(json.dumps(common, sort_keys=True), {**common, SECONDS: {}})
        entry[SECONDS][model] = record[SECONDS]
    return list(groups.values())
