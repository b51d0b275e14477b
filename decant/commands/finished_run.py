"""A project whose pipeline has run: its data and models, read without its stages."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.evaluation.evaluate import RELEASED, NothingToEvaluate, scorers
from decant.evaluation.scoring import Scorer
from decant.features.encode import Encoder
from decant.features.holdout import of_users
from decant.features.sequences import TEST, Cases, Sequences, cases
from decant.models import bundle
from decant.params.load import Params, load_params
from decant.params.types import GENERAL, TEACHER
from decant.report.scores import Scores, serving
from decant.runtime.session import Model


class NotRun(ValueError):
    """Something of a finished run is not there; `place` is the first that is missing."""

    def __init__(self, place: Path) -> None:
        self.place = place
        super().__init__(f"{place} is missing: `make run` makes the models that are measured")


@dataclass(frozen=True)
class Finished:
    """What a run has left: the `chosen` cases of the test window, a folder for each graph, the
    users each segment's student is for, the verdict, and vectors [N + 1, width] of the items'
    content, where they have any."""

    params: Params
    encoder: Encoder
    sequences: Sequences
    chosen: Cases
    bundles: dict[str, Path]
    members: dict[str, np.ndarray]
    verdict: dict[str, Any]
    vectors: np.ndarray | None = None

    def makers(self) -> dict[str, Callable[[], Scorer]]:
        """How to make the scorer of every baseline, the teacher and every released student."""
        graphs = {name: Model(folder / bundle.GRAPH) for name, folder in self.bundles.items()}
        return scorers(graphs, self.sequences, self.encoder, self.vectors)

    def rows(self) -> dict[str, np.ndarray]:
        """The cases of each segment's student: those of its own users."""
        own = {f"{name}/{RELEASED}": users for name, users in self.members.items()}
        inside = {name: np.isin(self.chosen.user, users) for name, users in own.items()}
        return {name: np.flatnonzero(rows) for name, rows in inside.items()}

    def scores(self) -> Scores:
        """Whose the cases are and who is served by whom; no model's scores yet."""
        resamples, seed = self.params.evaluate.resamples, self.params.seed
        return Scores(self.chosen.user, {}, self.members, serving(self.verdict), resamples, seed)


def read(root: Path, users: int | None = None) -> Finished:
    """Read what the last run in `root` has left; `users`: only the cases of so many, at random.

    Raises:
        NotRun: it has not run to its end.
        NothingToEvaluate: the test window has no case.
    """
    params = load_params(root / "params.yaml")
    data = root / "data"
    sequences = Sequences.load(found(data / "features" / "sequences"))
    chosen = cases(sequences, TEST, params.split.cases_per_user)
    if not len(chosen):
        raise NothingToEvaluate(TEST)
    members = {
        name: np.load(found(data / "segments" / f"{name}.npy"), allow_pickle=False)
        for name in params.segments
    }
    text = found(data / "vectors") / "text.npy"
    verdict = json.loads(found(data / "gate" / "verdict.json").read_text(encoding="utf-8"))
    folders = {f"{name}/{RELEASED}": data / "compressed" / name / RELEASED for name in members}
    there = {name: folder for name, folder in folders.items() if folder.is_dir()}  # others: folded
    return Finished(
        params,
        Encoder.load(found(data / "features" / "encoder.json")),
        sequences,
        some(chosen, users, params.seed),
        {
            TEACHER: found(data / "models" / TEACHER),
            f"{GENERAL}/{RELEASED}": found(data / "compressed" / GENERAL / RELEASED),
            **there,
        },
        members,
        verdict,
        np.load(text, allow_pickle=False) if text.is_file() else None,
    )


def found(path: Path) -> Path:
    """`path`, if it is there.

    Raises:
        NotRun: it is not.
    """
    if not path.exists():
        raise NotRun(path)
    return path


def some(chosen: Cases, users: int | None, seed: int) -> Cases:
    """The cases of `users` users drawn at random, in order; None: of all."""
    everybody = np.unique(chosen.user)
    if users is None or users >= len(everybody):
        return chosen
    drawn = np.random.default_rng(seed).choice(everybody, users, replace=False)
    return of_users(chosen, drawn)
