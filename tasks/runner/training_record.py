"""The record of a training: its time, its machine, its commit.

It varies from one run to the next, so it is an output of its own that no stage depends on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decant.files import write_json
from decant.machine import machine
from decant.release.provenance import git, version
from tasks.runner.step import Workspace

if TYPE_CHECKING:  # slow to import, and benchmarks only read these records
    from decant.training.state import Report

FOLDER, RECORD = "training", "record.json"


def write_training_record(workspace: Workspace, model: str, reports: "Sequence[Report]") -> None:
    """Write `data/training/MODEL/record.json`.

    Args:
        reports: of the model and of all others that were trained for it; none if it was merged
            into another and not trained.
    """
    output = workspace.output(f"{FOLDER}/{model}")
    write_json(output / RECORD, training_record(workspace.root, reports))


def training_record(root: Path, reports: "Sequence[Report]") -> dict[str, Any]:
    """Seconds, number, arithmetic, commit, machine and torch version of some trainings."""
    return {
        "seconds": round(sum(report.seconds for report in reports), 3),
        "trainings": len(reports),
        "arithmetic": reports[0].arithmetic if reports else {},
        "commit": (git(root, "rev-parse", "HEAD") or "").strip() or None,
        "machine": {**machine(), "accelerator": accelerator(reports)},
        "torch": version("torch"),
    }


def accelerator(reports: "Sequence[Report]") -> str | None:
    """Name of the GPU of a training, None if it ran on the CPU."""
    if not any(report.arithmetic.get("device") == "cuda" for report in reports):
        return None
    import torch

    return str(torch.cuda.get_device_name())
