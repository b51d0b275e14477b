"""The models of a release: read, verified, tried on requests.

Imports neither torch nor pandas.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from decant.features.encode import GAP_SECONDS, Encoder
from decant.features.segments import GENERAL
from decant.files import digest
from decant.models import bundle
from decant.runtime.router import ENCODER, STUDENTS
from decant.runtime.session import ATTRIBUTES, Model

Read = Callable[[str], bytes]  # a file of a release by its path → its bytes
SLOWEST = 2.0  # CPU seconds that one answer may take


def reader(folder: Path) -> Read:
    """Read files of a folder without verification."""
    return lambda path: (folder / path).read_bytes()


def load_models(
    read: Read, router: dict[str, Any], encoder: Encoder, threads: int, *, tried: bool
) -> dict[str, Model]:
    """Load the students in a router.

    Raises:
        BundleError: a student is missing, modified or has another catalogue.
    """
    models = {}
    for student in [
        GENERAL,
        *(name for name in router["students"] if name not in router["folded"]),
    ]:
        folder = f"{STUDENTS}/{student}"
        graph, items = (read_sealed(read, folder, name) for name in (bundle.GRAPH, bundle.ITEMS))
        if not tried and tuple(json.loads(items)) != encoder.items:
            raise bundle.BundleError(f"{folder}: its catalogue is not the one of {ENCODER}")
        try:
            models[student] = Model(graph, threads, tried=tried)
        except bundle.BundleError as error:
            raise bundle.BundleError(f"{folder}/{bundle.GRAPH}: {error}") from error
    return models


def read_sealed(read: Read, folder: str, name: str) -> bytes:
    """Read a file of a student's bundle and verify it against the bundle's manifest.

    Raises:
        BundleError: the file is missing or modified.
    """
    try:
        stored, content = read(f"{folder}/{bundle.MANIFEST}"), read(f"{folder}/{name}")
    except FileNotFoundError as error:
        student = folder.rpartition("/")[2]
        raise bundle.BundleError(f"the student `{student}` is missing: {error}") from None
    try:
        expected = json.loads(stored)["files"][name]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise bundle.BundleError(f"{folder}/{bundle.MANIFEST} has no {name}: {error!r}") from None
    if expected != digest(content):
        raise bundle.BundleError(f"{folder}/{name} was changed after it was written")
    return content


def check_answer(student: str, model: Model, batch: dict[str, np.ndarray], items: int) -> None:
    """Check that a student scores every item of the catalogue.

    Raises:
        BundleError: the student fails, is too slow, or returns too few or non-finite scores.
    """
    began = time.thread_time()
    try:
        scores = model.scores(batch)
    except Exception as error:  # the runtime's own errors have no common base
        problem = " ".join(str(error).split())
        raise bundle.BundleError(f"student {student} cannot answer: {problem}") from error
    if scores.shape != (1, items + 1):
        raise bundle.BundleError(
            f"student {student} scores {scores.size - 1} items; the release has {items}"
        )
    took = time.thread_time() - began
    if took > SLOWEST:
        raise bundle.BundleError(f"student {student} takes {took:.1f} s for one answer")
    if not np.isfinite(scores).all():
        raise bundle.BundleError(f"student {student} returns scores that are not finite")


def empty_batch(encoder: Encoder) -> dict[str, np.ndarray]:
    """Model inputs of an empty request."""
    batch = full_batch(encoder, 1)
    return {name: np.zeros_like(indices) for name, indices in batch.items()}


def full_batch(encoder: Encoder, length: int) -> dict[str, np.ndarray]:
    """Model inputs of a history of the given length, with the highest index of every input."""
    highest = {
        "items": len(encoder.items),
        "behaviours": len(encoder.behaviours),
        "ratings": len(encoder.rating_edges) + 1,
        "gaps": len(GAP_SECONDS) + 1,
    }
    highest |= {"lags": 1, "ages": 0}  # all of it in the open basket
    sizes = np.array([[a.size for a in encoder.attributes.values()]], dtype=np.int64)
    full = {name: np.full((1, length), index, dtype=np.int64) for name, index in highest.items()}
    return {**full, ATTRIBUTES: sizes - 1}
