"""Reader for the data and models of a finished run."""

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
        super().__init__(f"{place} is missing: `make run` makes the models to measure")


@dataclass(frozen=True)
class Finished:
    """Outputs of a run: `cases` of a `window`, a folder per graph, the users of each segment's
    student, the verdict, and text vectors of the items [N + 1, width], if any."""

    params: Params
    encoder: Encoder
    sequences: Sequences
    cases: Cases
    bundles: dict[str, Path]
    members: dict[str, np.ndarray]
    verdict: dict[str, Any]
    vectors: np.ndarray | None = None
    window: str = TEST

    def makers(self) -> dict[str, Callable[[], Scorer]]:
        """Factories of the scorers of all baselines, the teacher and all released students."""
        graphs = {name: Model(folder / bundle.GRAPH) for name, folder in self.bundles.items()}
        return scorers(graphs, self.sequences, self.encoder, self.vectors)

    def rows(self) -> dict[str, np.ndarray]:
        """Indices of the cases of each segment's users, by its student."""
        users_of = {f"{name}/{RELEASED}": users for name, users in self.members.items()}
        masks = {name: np.isin(self.cases.user, users) for name, users in users_of.items()}
        return {name: np.flatnonzero(mask) for name, mask in masks.items()}

    def scores(self) -> Scores:
        """The users of the cases with the student that serves each, without any scores yet."""
        resamples, seed = self.params.evaluate.resamples, self.params.seed
        return Scores(self.cases.user, {}, self.members, serving(self.verdict), resamples, seed)


def read(root: Path, users: int | None = None, window: str = TEST) -> Finished:
    """Read the outputs of the last run in `root`; `users`: sample the cases of that many.

    Raises:
        NotRunError: an output is missing.
        NothingToEvaluateError: the window has no cases.
    """
    params = load_params(root / "params.yaml")
    data = root / "data"
    sequences = Sequences.load(existing(data / "features" / "sequences"))
    all_cases = cases(sequences, window, params.split.cases_per_user)
    if not len(all_cases):
        raise NothingToEvaluateError(window)
    members = {
        name: np.load(existing(data / "segments" / f"{name}.npy"), allow_pickle=False)
        for name in params.segments
    }
    text = existing(data / "vectors") / "text.npy"
    verdict = json.loads(existing(data / "gate" / "verdict.json").read_text(encoding="utf-8"))
    folders = {f"{name}/{RELEASED}": data / "compressed" / name / RELEASED for name in members}
    released = {name: folder for name, folder in folders.items() if folder.is_dir()}
    return Finished(
        params,
        Encoder.load(existing(data / "features" / "encoder.json")),
        sequences,
        sample(all_cases, users, params.seed),
        {
            TEACHER: existing(data / "models" / TEACHER),
            f"{GENERAL}/{RELEASED}": existing(data / "compressed" / GENERAL / RELEASED),
            **released,
        },
        members,
        verdict,
        np.load(text, allow_pickle=False) if text.is_file() else None,
        window,
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
    """Select the cases of `users` random users, in order; None: all cases."""
    ids = np.unique(all_cases.user)
    if users is None or users >= len(ids):
        return all_cases
    drawn = np.random.default_rng(seed).choice(ids, users, replace=False)
    return of_users(all_cases, drawn)
