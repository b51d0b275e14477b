"""Readers for artifacts that several steps share."""

import json
from pathlib import Path

import numpy as np

from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.params.students import folded_students, lineage
from decant.params.types import GENERAL
from tasks.runner.step import SUMMARY, Workspace

SERVED_BY_GENERAL = "_served_by_general.npy"
# in a student's output of `shrink`: the share of the difference that is kept; the model, if shrunk
SHRUNK_WEIGHT, SHRUNK_MODEL = "weight.json", "model"


def load_sequences(workspace: Workspace) -> tuple[Encoder, Sequences]:
    """The encoder and all sequences."""
    folder = workspace.input("features")
    return Encoder.load(folder / "encoder.json"), Sequences.load(folder / "sequences")


def load_vectors(workspace: Workspace) -> dict[str, np.ndarray]:
    """The items' given vectors by name, `text` and others, float32 [N + 1, W] each."""
    files = sorted(workspace.input("vectors").glob("*.npy"))
    return {path.stem: np.load(path, allow_pickle=False) for path in files}


def read_text_encoder(workspace: Workspace) -> str | None:
    """Digest of the BERT that made the text vectors; None if the encoder fits one catalogue."""
    summary = json.loads((workspace.input("vectors") / SUMMARY).read_text(encoding="utf-8"))
    digest: str | None = summary["bert"]
    return digest


def load_members(workspace: Workspace, student: str) -> np.ndarray:
    """The users a student is trained on; without a rule all users."""
    return np.load(workspace.input("segments") / f"{student}.npy", allow_pickle=False)


def load_segment(workspace: Workspace, student: str) -> np.ndarray | None:
    """The users of a segment's student or its variant; None for a student of all users."""
    if workspace.params.students[student].where is None:
        return None
    return load_members(workspace, student)


def load_groups(workspace: Workspace) -> dict[str, np.ndarray]:
    """The users that each group's student serves; general's are those in no segment."""
    folder = workspace.input("segments")
    groups = {name: load_members(workspace, name) for name in workspace.params.segments}
    return {GENERAL: np.load(folder / SERVED_BY_GENERAL, allow_pickle=False), **groups}


def is_folded(workspace: Workspace, student: str) -> bool:
    """Whether a student is merged into general: it has no model, general serves its users."""
    return student in folded(workspace, student)


def why_folded(workspace: Workspace, student: str) -> str:
    """Why a student is merged into general."""
    first = folded(workspace, student)[0]
    if first == student:
        return f"fewer than distill.min_users ({workspace.params.distill.min_users})"
    return f"it starts from {first}, which is merged too"


def folded(workspace: Workspace, student: str) -> list[str]:
    """The students merged into general among a student and its ancestors, oldest first.

    Reads only their members, since a step does not depend on other students.
    """
    students = workspace.params.students
    line = {name: students[name] for name in lineage(students, student)}
    users = {name: len(load_members(workspace, name)) for name in line}
    return folded_students(line, users, workspace.params.distill.min_users)


def student_of(workspace: Workspace) -> str:
    """The student this step was started for."""
    assert workspace.student is not None
    return workspace.student


def model_folder(workspace: Workspace, name: str) -> Path:
    """The bundle of a model as trained."""
    return workspace.input(f"models/{name}")


def shrunk_weight(workspace: Workspace, student: str) -> float:
    """The share of a student's difference from its start that is kept; 1: it is as trained."""
    path = workspace.input(f"shrunk/{student}") / SHRUNK_WEIGHT
    return float(json.loads(path.read_text(encoding="utf-8"))["weight"])


def distilled_folder(workspace: Workspace, student: str) -> Path:
    """The bundle of a student that is compressed: as trained, or shrunk towards its start."""
    shrunk = workspace.input(f"shrunk/{student}") / SHRUNK_MODEL
    return shrunk if shrunk.is_dir() else model_folder(workspace, student)
