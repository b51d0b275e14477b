"""Data and models of a project whose pipeline has run, read without running stages."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.evaluation.evaluate import RELEASED, NothingToEvaluateError, scorers
from decant.evaluation.scoring import Scorer
from decant.features.encode import Encoder
from decant.features.holdout import of_users
from decant.features.sequences import TEST, Cases, Sequences, cases
from decant.models import bundle
from decant.params.load import Params, load_params
from decant.params.types import GENERAL, TEACHER
from decant.report.scores import Scores, serving
from decant.runtime.session import Model


class NotRunError(ValueError):
    """A file or folder of a finished run is missing; `place` is the first."""

    def __init__(self, place: Path) -> None:
        self.place = place
        super().__init__(f"{place} is missing: `make run` makes the models that are measured")


@dataclass(frozen=True)
class Finished:
    """Outputs of a run: `cases` of the test window, a folder for each graph, the users of each
    segment's student, the verdict, and vectors [N + 1, width] of the items' content, if any."""

    params: Params
    encoder: Encoder
    sequences: Sequences
    cases: Cases
    bundles: dict[str, Path]
    members: dict[str, np.ndarray]
    verdict: dict[str, Any]
    vectors: np.ndarray | None = None

    def makers(self) -> dict[str, Callable[[], Scorer]]:
        """Makers of the scorers of every baseline, the teacher and every released student."""
        graphs = {name: Model(folder / bundle.GRAPH) for name, folder in self.bundles.items()}
        return scorers(graphs, self.sequences, self.encoder, self.vectors)

    def rows(self) -> dict[str, np.ndarray]:
        """Indices of the cases of each segment's users, by its student."""
        own = {f"{name}/{RELEASED}": users for name, users in self.members.items()}
        inside = {name: np.isin(self.cases.user, users) for name, users in own.items()}
        return {name: np.flatnonzero(rows) for name, rows in inside.items()}

    def scores(self) -> Scores:
        """Users of the cases and the student that serves each; no model's scores yet."""
        resamples, seed = self.params.evaluate.resamples, self.params.seed
        return Scores(self.cases.user, {}, self.members, serving(self.verdict), resamples, seed)


def read(root: Path, users: int | None = None) -> Finished:
    """Read the outputs of the last run in `root`; `users`: only the cases of so many, at random.

    Raises:
        NotRunError: an output is missing.
        NothingToEvaluateError: the test window has no case.
    """
    params = load_params(root / "params.yaml")
    data = root / "data"
    sequences = Sequences.load(existing(data / "features" / "sequences"))
    test_cases = cases(sequences, TEST, params.split.cases_per_user)
    if not len(test_cases):
        raise NothingToEvaluateError(TEST)
    members = {
        name: np.load(existing(data / "segments" / f"{name}.npy"), allow_pickle=False)
        for name in params.segments
    }
    text = existing(data / "vectors") / "text.npy"
    verdict = json.loads(existing(data / "gate" / "verdict.json").read_text(encoding="utf-8"))
    folders = {f"{name}/{RELEASED}": data / "compressed" / name / RELEASED for name in members}
    unfolded = {name: folder for name, folder in folders.items() if folder.is_dir()}
    return Finished(
        params,
        Encoder.load(existing(data / "features" / "encoder.json")),
        sequences,
        sample(test_cases, users, params.seed),
        {
            TEACHER: existing(data / "models" / TEACHER),
            f"{GENERAL}/{RELEASED}": existing(data / "compressed" / GENERAL / RELEASED),
            **unfolded,
        },
        members,
        verdict,
        np.load(text, allow_pickle=False) if text.is_file() else None,
    )


def existing(path: Path) -> Path:
    """Return `path` if it exists.

    Raises:
        NotRunError: it does not.
    """
    if not path.exists():
        raise NotRunError(path)
    return path


def sample(all_cases: Cases, users: int | None, seed: int) -> Cases:
    """Take the cases of `users` users drawn at random, in order; None: of all."""
    everybody = np.unique(all_cases.user)
    if users is None or users >= len(everybody):
        return all_cases
    drawn = np.random.default_rng(seed).choice(everybody, users, replace=False)
    return of_users(all_cases, drawn)
