"""Which segments get a student of their own: non-inferiority on users that chose nothing.

The error that is controlled: with probability 95 % no segment at all gets a student that is worse
for its users than the general one by more than the margin (Holm 1979 over all segments).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decant.evaluation.evaluate import HOPS, RELEASED
from decant.evaluation.intervals import (
    Gain,
    Ratio,
    gain_draws,
    holm,
    informative,
    lower_bound,
    p_value,
    paired_gain,
    paired_ratio,
)
from decant.evaluation.lookup import divide, figure
from decant.features.sequences import TEST, VALIDATION
from decant.params.release import Gate
from decant.params.types import GENERAL, TEACHER
from decant.release.ranked import Ranked

Metrics = dict[str, Any]
DISTILLED = HOPS[0]


@dataclass(frozen=True)
class Segment:
    """Decision on a segment's student.

    `ships`: accepted. `gain`: NDCG per user over general, on `deciding_users`. `margin`: the loss
    that is tolerated, in NDCG. `lower_bound`: one-sided, at error rate `level`; `p`: of a loss of
    the margin or more. `informative_users`: those with a hit by one of the two. `test`: the gain on
    the test window.
    """

    ships: bool
    reason: str
    gain: float | None = None
    lower_bound: float | None = None
    margin: float | None = None
    p: float | None = None
    level: float | None = None
    users: int = 0
    deciding_users: int = 0
    informative_users: int = 0
    test: dict[str, float] | None = None


@dataclass(frozen=True)
class Evidence:
    """Own and general's NDCG of the deciding users, float [V] each, and draws of the mean gain."""

    ours: np.ndarray
    theirs: np.ndarray
    draws: np.ndarray
    margin: float

    @property
    def gain(self) -> float:
        """Mean gain in NDCG per user."""
        return float((self.ours - self.theirs).mean())

    @property
    def informative(self) -> int:
        """Users with a hit by one of the two models; the others do not tell them apart."""
        return informative(self.ours, self.theirs)

    @property
    def p(self) -> float:
        """p-value of a loss of the margin or more."""
        return p_value(self.ours - self.theirs, self.draws, -self.margin)

    def bound(self, level: float) -> float:
        """One-sided lower bound of the gain."""
        return lower_bound(self.ours - self.theirs, self.draws, level)


@dataclass(frozen=True)
class Judge:
    """What all decisions are made from: the ranks, and the costs and hops of each model."""

    ranked: Ranked
    metrics: Metrics
    hops: Mapping[str, Mapping[str, Any]]
    gate: Gate
    seed: int

    def collect(
        self, members: Mapping[str, np.ndarray], folded: list[str]
    ) -> dict[str, Evidence | None]:
        """The evidence about the student of every segment that is not merged into general."""
        names = [name for name in sorted(members) if name not in (GENERAL, *folded)]
        return {name: self.evidence(name, members[name]) for name in names}

    def segments(
        self,
        members: Mapping[str, np.ndarray],
        folded: list[str],
        evidence: Mapping[str, Evidence | None],
    ) -> dict[str, Segment]:
        """Decide on every segment's student, all together."""
        levels = holm(self.p_values(evidence))
        return {
            name: self.decide(name, members[name], evidence.get(name), levels, name in folded)
            for name in sorted(members)
            if name != GENERAL
        }

    def variant(
        self,
        name: str,
        sibling: str,
        users: np.ndarray,
        folded: list[str],
        evidence: Mapping[str, Evidence | None],
    ) -> Segment:
        """Decide on a variant as if it stood in the place of the student that serves its users."""
        own = self.evidence(name, users)
        together = {n: e for n, e in evidence.items() if n != sibling} | {name: own}
        return self.decide(name, users, own, holm(self.p_values(together)), sibling in folded)

    def p_values(self, evidence: Mapping[str, Evidence | None]) -> dict[str, float]:
        """p-values of the segments with enough evidence for a decision."""
        enough = self.gate.min_deciding_users
        return {n: e.p for n, e in evidence.items() if e is not None and e.informative >= enough}

    def evidence(self, name: str, users: np.ndarray) -> Evidence | None:
        """Own student against general on the deciding users; None if it was not measured."""
        deciding = self.ranked.deciding(users)
        pair = self.pair(name, GENERAL, VALIDATION, deciding)
        if pair is None:
            return None
        draws = gain_draws(*pair, self.gate.resamples, self.seed)
        return Evidence(*pair, draws, self.gate.margin * float(pair[1].mean()))

    def pair(
        self, ours: str, theirs: str, window: str, users: np.ndarray, hop: str = RELEASED
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """NDCG of two students' users, float [V] each; `hop`: of the second."""
        a = self.ranked.scores(f"{ours}/{RELEASED}", window, users)
        b = self.ranked.scores(f"{theirs}/{hop}", window, users)
        if a is None or b is None or a.empty:
            return None
        return a.to_numpy(), b.to_numpy()

    def decide(
        self,
        name: str,
        users: np.ndarray,
        evidence: Evidence | None,
        levels: Mapping[str, float],
        is_folded: bool,
    ) -> Segment:
        """The decision on one student."""
        if is_folded:
            return Segment(False, "merged into general", users=len(users))
        if evidence is None:
            problems = (self.ranked.problems.get(f"{s}/{RELEASED}") for s in (name, GENERAL))
            why = next(filter(None, problems), "no validation cases to decide on")
            return Segment(False, why, users=len(users))
        level = levels.get(name)
        bound = None if level is None else evidence.bound(level)
        test = self.on_test(name, users)
        reason = self.objection(name, users, evidence, level)
        return Segment(
            ships=reason is None,
            reason=reason or "better on validation",
            gain=evidence.gain,
            lower_bound=bound,
            margin=evidence.margin,
            p=evidence.p,
            level=level,
            users=len(users),
            deciding_users=len(evidence.ours),
            informative_users=evidence.informative,
            test=None if test is None else asdict(test),
        )

    def objection(
        self, name: str, users: np.ndarray, evidence: Evidence, level: float | None
    ) -> str | None:
        """Why a student is rejected, or None.

        One that is larger than the gate allows is rejected too, so that a small group without an
        int8 graph does not block the whole release. Latency is not considered, since it never
        repeats exactly and would change the set of released students.
        """
        enough = self.gate.min_deciding_users
        if level is None:
            return (
                f"too few to decide: {evidence.informative} deciding users with a hit, of {enough}"
            )
        if not evidence.gain > 0:  # NaN too
            return "not better than general on validation"
        if not evidence.p <= level:
            return f"may lose more than {self.gate.margin:.1%} of general's NDCG"
        smaller = self.size_ratio(name)
        if smaller is not None and smaller < self.gate.min_size_ratio:
            allowed = f"1/{self.gate.min_size_ratio:g} allowed"
            return f"too large: 1/{smaller:.1f} of the teacher, {allowed}"
        hop, allowed_hop = self.compression(name, users), self.allowed(name)
        if hop is not None and allowed_hop is not None and hop.upper_bound < allowed_hop:
            return f"lost {1 - hop.value:.1%} in compression, {1 - allowed_hop:.1%} allowed"
        return None

    def size_ratio(self, student: str) -> float | None:
        """Served bytes, teacher ÷ student; None if one is unknown."""
        names = (TEACHER, f"{student}/{RELEASED}")
        teacher, ours = (figure(self.metrics, "models", name, "bytes") for name in names)
        return divide(teacher, ours)

    def compression(self, student: str, users: np.ndarray) -> Ratio | None:
        """Released ÷ distilled on the deciding ones of `users`; None if not measured."""
        deciding = self.ranked.deciding(users)
        pair = self.pair(student, student, VALIDATION, deciding, DISTILLED)
        return None if pair is None else paired_ratio(*pair, self.gate.resamples, self.seed)

    def allowed(self, student: str) -> float | None:
        """The share of its quality that a student must keep in compression, None if unusable."""
        share = figure(self.hops, student, "allowed")
        return share if share is not None and 0 <= share <= 1 else None

    def on_test(self, name: str, users: np.ndarray) -> Gain | None:
        """Gain over general on the test window."""
        pair = self.pair(name, GENERAL, TEST, users)
        return None if pair is None else paired_gain(*pair, self.gate.resamples, self.seed)
