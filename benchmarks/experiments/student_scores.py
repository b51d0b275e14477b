"""Per-user quality of compared students, read from an evaluated workspace."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.experiments.data_sets import read
from benchmarks.experiments.variants import Comparison
from decant.distillation.prior import group_counts
from decant.evaluation.evaluate import RELEASED
from decant.evaluation.intervals import paired_gain
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.sequences import Sequences
from decant.params.load import Params
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Figure

TRAINED = "distilled"  # the compression step at which variants are compared
RESAMPLES = 10_000
Users = dict[int, tuple[float, float]]  # NDCG and hit rate of each user


@dataclass(frozen=True)
class Scores:
    """The evaluation of compared students.

    `cases`: ranks by model and window. `members`: users by group, without merged groups.
    `metrics`: figures of each model; `trained`: the summary of each student's training.
    """

    comparison: Comparison
    params: Params
    cases: dict[tuple[str, str], pd.DataFrame]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    trained: dict[str, dict[str, Any]]
    members: dict[str, np.ndarray]
    k: int

    @property
    def variants(self) -> list[str]:
        """All variants: of students for all users, then of groups' students."""
        return [TEACHER, GENERAL, *self.comparison.general, *self.comparison.groups]

    def students_of(self, variant: str) -> dict[str, str]:
        """The students of a group variant by group, without merged groups."""
        students = self.comparison.groups[variant]
        return {group: students[group] for group in self.members}

    def users(self, model: str, window: str, hop: str = TRAINED) -> Users:
        """Each user's quality under one model."""
        name = model if model == TEACHER else f"{model}/{hop}"
        rows = self.cases[name, window]
        users, ranks = rows["user"].to_numpy(), rows["rank"].to_numpy()
        ids, quality = user_means(ndcg(ranks, self.k), users)
        hits = user_means(hit(ranks, self.k), users)[1]
        triples = zip(ids.tolist(), quality.tolist(), hits.tolist(), strict=True)
        return {user: (n, h) for user, n, h in triples}

    def served(self, variant: str, window: str, accepted: set[str] | None = None) -> Users:
        """Each user's quality if every group, or every accepted one, is served by its student of a
        variant, and all other users by the general student."""
        if variant not in self.comparison.groups:
            return self.users(variant, window)
        quality = dict(self.users(GENERAL, window))
        for group, student in self.students_of(variant).items():
            if accepted is None or group in accepted:
                ours, inside = self.users(student, window), set(self.members[group].tolist())
                quality.update({user: ours[user] for user in ours.keys() & inside})
        return quality

    def judged(self, student: str) -> dict[str, Any]:
        """The gate's decision about a student of a segment, or about a variant in its place."""
        verdict: dict[str, Any] = {**self.verdict["variants"], **self.verdict["segments"]}[student]
        return verdict

    def accepted(self, variant: str) -> set[str]:
        """The groups whose student of a variant the gate accepts."""
        students = self.students_of(variant)
        return {group for group, student in students.items() if self.judged(student)["ships"]}

    def holds(self, variant: str) -> set[str]:
        """The groups whose student of a variant is non-inferior, with or without a gain."""
        judged = {group: self.judged(s) for group, s in self.students_of(variant).items()}
        return {
            g for g, one in judged.items() if one["level"] is not None and one["p"] <= one["level"]
        }

    def model(self, student: str, hop: str = TRAINED) -> dict[str, Any]:
        """The evaluation's figures of one model."""
        name = student if student == TEACHER else f"{student}/{hop}"
        figures: dict[str, Any] = self.metrics["models"][name]
        return figures

    def cost(self, variant: str, measure: str) -> float:
        """`multiply_adds` or `bytes` of a variant, the mean over its groups' students."""
        grouped = variant in self.comparison.groups
        students = self.students_of(variant).values() if grouped else [variant]
        return float(np.mean([self.model(student)[measure] for student in students]))


def read_scores(root: Path, params: Params, comparison: Comparison) -> Scores:
    """Read the outputs of the flow in a workspace."""
    data = root / "data"
    metrics = read(data / "evaluation" / "metrics.json")
    folded = read(data / "segments" / "router.json")["folded"]
    frame = pd.read_parquet(data / "evaluation" / "cases.parquet")
    return Scores(
        comparison,
        params,
        {(str(m), str(w)): rows for (m, w), rows in frame.groupby(["model", "window"])},
        metrics,
        read(data / "gate" / "verdict.json"),
        {
            name: json.loads((data / "models" / name / "summary.json").read_text("utf-8"))
            for name in comparison.students
        },
        {
            name: np.load(data / "segments" / f"{name}.npy", allow_pickle=False)
            for name in params.segments
            if name not in folded
        },
        metrics["k"],
    )


def mean_ndcg(users: Users, group: set[int] | None = None) -> float:
    """Mean NDCG of a group's users, or of all."""
    inside = users.keys() if group is None else group & users.keys()
    return float(np.mean([users[user][0] for user in inside]))


def relative_gain(ours: Users, theirs: Users, group: set[int] | None = None) -> Figure:
    """Mean gain in NDCG ÷ the mean NDCG of `theirs`, paired by user."""
    both = ours.keys() & theirs.keys()
    users = sorted(both if group is None else group & both)
    a, b = (np.array([quality[user][0] for user in users]) for quality in (ours, theirs))
    gain = paired_gain(a, b, RESAMPLES, 0)
    mean = max(float(b.mean()), 1e-12)
    low, value, high = (v / mean for v in (gain.low, gain.gain, gain.high))
    return {"value": value, "low": low, "high": high, "n": gain.n}


def differences(sequences: Sequences, members: dict[str, np.ndarray]) -> dict[str, float]:
    """Jensen-Shannon divergence of each group's distribution of items in training events from
    that of all other users, in bits. 0: equal, 1: no common items."""
    items = int(np.asarray(sequences.items).max())
    total = group_counts(sequences, np.arange(sequences.users), items)
    result = {}
    for name, users in members.items():
        counts = group_counts(sequences, users, items)
        p, q = (c / max(c.sum(), 1.0) for c in (counts, total - counts))
        result[name] = float(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
    return result


def entropy(share: np.ndarray) -> float:
    """Entropy in bits."""
    some = share[share > 0]
    return float(-(some * np.log2(some)).sum())


def family(scores: Scores, window: str) -> Users:
    """Each user's quality under the family as released, in int8."""
    quality = dict(scores.users(GENERAL, window, RELEASED))
    for group, segment in scores.verdict["segments"].items():
        if segment["ships"] and group in scores.members:
            ours = scores.users(group, window, RELEASED)
            inside = set(scores.members[group].tolist())
            quality.update({user: ours[user] for user in ours.keys() & inside})
    return quality
