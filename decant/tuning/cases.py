"""The quality of every case of a trial, for a paired comparison of two trials."""

import os
from pathlib import Path

import numpy as np


def save_cases(path: Path, users: np.ndarray, quality: np.ndarray) -> None:
    """Write the user int [C] and NDCG@10 float [C] of each case, of all folds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, user=users, ndcg=quality)
    os.replace(temporary, path)


def load_cases(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What `save_cases` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        return saved["user"], saved["ndcg"]
