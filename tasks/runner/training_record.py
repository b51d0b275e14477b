"""The record of a training: its time, its machine, its commit.

It varies from one run to the next, so it is an output of its own that no stage depends on.
"""

from collections.abc import Sequence

import torch

from decant.files import write_json
from decant.machine import machine
from decant.release.provenance import git, version
from decant.training.state import Report
from tasks.runner.step import Workspace

FOLDER, RECORD = "training", "record.json"


def write_training_record(workspace: Workspace, model: str, reports: Sequence[Report]) -> None:
    """Write `data/training/MODEL/record.json`.

    Args:
        reports: of the model and of all others that were trained for it; none if it was merged
            into another and not trained.
    """
    record = {
        "seconds": round(sum(report.seconds for report in reports), 1),
        "trainings": len(reports),
        "arithmetic": reports[0].arithmetic if reports else {},
        "commit": (git(workspace.root, "rev-parse", "HEAD") or "").strip() or None,
        "machine": {**machine(), "accelerator": accelerator(reports)},
        "torch": version("torch"),
    }
    write_json(workspace.output(f"{FOLDER}/{model}") / RECORD, record)


def accelerator(reports: Sequence[Report]) -> str | None:
    """Name of the GPU of a training, None if it ran on the CPU."""
    on_gpu = any(report.arithmetic.get("device") == "cuda" for report in reports)
    return str(torch.cuda.get_device_name()) if on_gpu else None
