"""Where what several steps read lies."""

import json
from pathlib import Path

import numpy as np

from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.params.types import GENERAL
from tasks.runner.step import SUMMARY, Workspace

SERVED_BY_GENERAL = "_served_by_general.npy"


def load_sequences(workspace: Workspace) -> tuple[Encoder, Sequences]:
    """The encoder and everybody's sequences."""
    folder = workspace.input("features")
    return Encoder.load(folder / "encoder.json"), Sequences.load(folder / "sequences")


def load_vectors(workspace: Workspace) -> dict[str, np.ndarray]:
    """The items' given vectors by name, `text` and others, float32 [N + 1, W] each."""
    files = sorted(workspace.input("vectors").glob("*.npy"))
    return {path.stem: np.load(path, allow_pickle=False) for path in files}


def read_text_encoder(workspace: Workspace) -> str | None:
    """What made the text vectors, if it makes the same of other catalogues' texts too."""
    summary = json.loads((workspace.input("vectors") / SUMMARY).read_text(encoding="utf-8"))
    digest: str | None = summary["bert"]
    return digest


def load_members(workspace: Workspace, student: str) -> np.ndarray:
    """The users a student learns from: general's are everybody."""
    return np.load(workspace.input("segments") / f"{student}.npy", allow_pickle=False)


def load_groups(workspace: Workspace) -> dict[str, np.ndarray]:
    """The users each student is for; general's are those of no segment."""
    folder = workspace.input("segments")
    groups = {name: load_members(workspace, name) for name in workspace.params.segments}
    return {GENERAL: np.load(folder / SERVED_BY_GENERAL, allow_pickle=False), **groups}


def is_folded(workspace: Workspace, student: str) -> bool:
    """Is the segment too small for a student of its own?"""
    few = len(load_members(workspace, student)) < workspace.params.distill.min_users
    return student != GENERAL and few


def student_of(workspace: Workspace) -> str:
    """The student this step was started for."""
    assert workspace.student is not None
    return workspace.student


def model_folder(workspace: Workspace, name: str) -> Path:
    return workspace.input(f"models/{name}")
