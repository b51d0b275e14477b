"""Quality of the family as it would be released, on each group: served by its accepted student."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.evaluation.evaluate import ALL, RELEASED
from decant.evaluation.intervals import Ratio, paired_ratio
from decant.features.sequences import VALIDATION
from decant.params.types import GENERAL, TEACHER
from decant.release.decision import Judge
from decant.release.ranked import Ranked


@dataclass(frozen=True)
class GroupQuality:
    """The family on one group's deciding users, against the teacher and the best baseline.

    `enough`: whether they are enough for a decision of their own. Means of NDCG; None if not
    measured.
    """

    deciding_users: int
    enough: bool
    family: float | None
    teacher: float | None
    best_baseline: float | None
    retention: Ratio | None
    lift: Ratio | None

    def document(self) -> dict[str, Any]:
        """The content in the verdict."""
        ratios = {"retention": self.retention, "lift": self.lift}
        return asdict(self) | {
            name: None if ratio is None else ratio.document() for name, ratio in ratios.items()
        }


@dataclass(frozen=True)
class Family:
    """The students that serve each group; `members`: users by group, each in one."""

    members: Mapping[str, np.ndarray]
    serving: Mapping[str, str]

    @property
    def users(self) -> np.ndarray:
        """All users."""
        return np.unique(np.concatenate([*self.members.values()]))

    def students(self) -> dict[str, np.ndarray]:
        """Released student → the users by whom its compression is judged: general's are all."""
        released = {student: self.members[student] for student in {*self.serving.values()}}
        return {**{n: u for n, u in released.items() if n != GENERAL}, GENERAL: self.users}

    def scores(
        self, frame: pd.DataFrame, users: np.ndarray, only: str | None = None
    ) -> pd.Series | None:
        """The served users' column of a frame of users × models; None if a model is missing.

        `only`: the student that serves everybody instead.
        """
        parts = []
        for group, inside in self.members.items():
            model = f"{only or self.serving.get(group, GENERAL)}/{RELEASED}"
            rows = frame.index[frame.index.isin(inside) & frame.index.isin(users)]
            if len(rows) and model not in frame:
                return None
            if len(rows):
                parts.append(frame.loc[rows, model])
        return pd.concat(parts).sort_index() if parts else pd.Series(dtype=float)


def recorded(ranked: Ranked, family: Family, window: str) -> dict[str, dict[str, float]]:
    """NDCG@k and HR@k by group on all users of a window, for groups that have cases."""
    result = {}
    for name, users in {**family.members, ALL: family.users}.items():
        ndcg = family.scores(ranked.ndcg[window], users)
        hits = family.scores(ranked.hit[window], users)
        if ndcg is None or hits is None or ndcg.empty:
            continue
        counts = ranked.counts[window]
        result[name] = {
            "ndcg": float(ndcg.mean()),
            "hr": float(hits.mean()),
            "cases": int(counts[counts.index.isin(users)].sum()),
            "users": len(ndcg),
        }
    return result


def against(
    judge: Judge,
    family: Family,
    users: np.ndarray,
    best: str | None,
    window: str = VALIDATION,
    only: str | None = None,
) -> GroupQuality:
    """The family against the teacher and the best baseline, on the deciding ones of `users`; on
    the test window on all of them. `only`: one student instead of the family."""
    ranked, gate = judge.ranked, judge.gate
    counted = ranked.deciding(users) if window == VALIDATION else users
    ours = family.scores(ranked.ndcg[window], counted, only)
    teacher = ranked.scores(TEACHER, window, counted)
    bar = None if best is None else ranked.scores(best, window, counted)

    def ratio(theirs: pd.Series | None) -> Ratio | None:
        if ours is None or theirs is None or not ours.index.equals(theirs.index):
            return None
        return paired_ratio(ours.to_numpy(), theirs.to_numpy(), gate.resamples, judge.seed)

    retention = ratio(teacher)
    return GroupQuality(
        deciding_users=0 if ours is None else len(ours),
        enough=retention is not None and retention.informative >= gate.min_deciding_users,
        family=mean(ours),
        teacher=mean(teacher),
        best_baseline=mean(bar),
        retention=retention,
        lift=ratio(bar),
    )


def mean(values: pd.Series | None) -> float | None:
    """Mean over users, None without users."""
    return None if values is None or values.empty else float(values.mean())
