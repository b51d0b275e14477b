"""The quality of every case of a trial, for a paired comparison of two trials."""

import os
import zipfile
from pathlib import Path

import numpy as np

from decant.files import Unusable, unusable

CASES = "cases"  # the folder of them, in that of a search


def make_place(folder: Path) -> None:
    """Make the folder of cases before any trial is made, whose result would be lost.

    Raises:
        Unusable: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from None


def save_cases(path: Path, users: np.ndarray, quality: np.ndarray) -> None:
    """Write the user int [C] and NDCG@10 float [C] of each case, of all folds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, user=users, ndcg=quality)
    os.replace(temporary, path)


def load_cases(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `save_cases` wrote.

    Raises:
        Unusable: it is gone or damaged; the trial it belongs to counts as made.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            return saved["user"], saved["ndcg"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        lost = (
            error.strerror.lower() if isinstance(error, OSError) and error.strerror else "damaged"
        )
        advice = "move it away, then the search starts anew"
        raise Unusable(path.parents[1], f"cases/{path.name}: {lost}", advice) from None
