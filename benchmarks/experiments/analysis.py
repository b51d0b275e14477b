"""What all rivals of a contest reached, user by user, and how they compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.experiments.comparison import Contest, names_of
from benchmarks.experiments.data_sets import read
from benchmarks.experiments.variants import ATTRIBUTES, GENERAL_KINDS, GROUP_WAYS, SHORT
from decant.distillation.prior import group_counts
from decant.evaluation.intervals import Gain, paired_gain
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL
from decant.report.results import Figure

RESAMPLES = 10_000
Users = dict[int, tuple[float, float]]  # NDCG and hit rate of each


@dataclass(frozen=True)
class Contested:
    """What all rivals reached: by window, then by rival, then by user.

    `groups`: of each way for groups its groups and their users; `members`: those by attributes;
    `family`: the ways of the students of params.yaml.
    """

    users: dict[str, dict[str, Users]]
    results: dict[str, dict[str, Any]]
    groups: dict[str, dict[str, np.ndarray]]
    members: dict[str, np.ndarray]
    differences: dict[str, float]
    family: tuple[str, str]
    k: int

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What a rival's program has written, or those of all its groups."""
        names = (
            [f"{kind}@{group}" for group in self.groups[kind]] if kind in self.groups else [kind]
        )
        return [self.results[name] for name in names]

    def mean(self, kind: str, measure: str) -> float:
        """Of a rival, or of those of all groups."""
        return float(np.mean([result[measure] for result in self.of(kind)]))


def contested(of: Contest) -> Contested:
    """Read what every rival reached."""
    _, _, *trained = names_of(of)
    results = {name: read(of.result(name)) for names in trained for name in names}
    k = of.data.params.evaluate.k
    users = {
        window: {name: by_user(result[window], k) for name, result in results.items()}
        for window in (VALIDATION, TEST)
    }
    groups = {kind: of.groups(way.groups) for kind, way in of.ways.items()}
    groups.update(dict.fromkeys(of.untrained, of.members))
    return Contested(
        users, results, groups, of.members,
        differences(of.data.sequences, of.members), of.family, k,
    )  # fmt: skip


def by_user(window: Mapping[str, Any], k: int) -> Users:
    """NDCG and hit rate of each user, means over the user's cases."""
    users, ranks = np.array(window["users"]), np.array(window["ranks"])
    found, quality = user_means(ndcg(ranks, k), users)
    hits = user_means(hit(ranks, k), users)[1]
    return {int(u): (float(n), float(h)) for u, n, h in zip(found, quality, hits, strict=True)}


def differences(sequences: Any, members: dict[str, np.ndarray]) -> dict[str, float]:
    """How much each segment's training events differ from all others', the Jensen-Shannon
    divergence of their shares of items, in bits: 0 alike, 1 no item in common."""
    items = int(np.asarray(sequences.items).max())
    total = group_counts(sequences, np.arange(sequences.users), items)
    found = {}
    for name, users in members.items():
        own = group_counts(sequences, users, items)
        p, q = (c / max(c.sum(), 1.0) for c in (own, total - own))
        found[name] = float(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
    return found


def entropy(share: np.ndarray) -> float:
    """In bits."""
    some = share[share > 0]
    return float(-(some * np.log2(some)).sum())


def served_by(found: Contested, kind: str, window: str, shipped: set[str] | None = None) -> Users:
    """Each user under a kind: under the model of the user's group; all others, and if it does not
    ship, under the general student of the family."""
    if kind not in found.groups:
        return found.users[window][kind]
    served = dict(found.users[window][general_of(found, kind)])
    for name in found.groups[kind] if shipped is None else shipped:
        served.update(found.users[window][f"{kind}@{name}"])
    return served


def general_of(found: Contested, kind: str) -> str:
    """The general student of a kind's family, which serves where none of the kind ships: one of
    full size, that reads what the kind reads."""
    way = GROUP_WAYS.get(kind)
    if kind == SHORT or (way is not None and way.aware is None):
        return found.family[0]
    return ATTRIBUTES if way is not None and way.aware else GENERAL


def kinds_of(found: Contested) -> list[str]:
    """All kinds that took part."""
    return [*(kind for kind in GENERAL_KINDS if kind in found.results), *found.groups]


def mean_ndcg(users: Users, group: set[int]) -> float:
    """Of the group's users."""
    return float(np.mean([users[user][0] for user in group & users.keys()]))


def relative_gain(ours: Users, theirs: Users, group: set[int]) -> Figure:
    """Mean gain in NDCG ÷ their mean NDCG, paired by user."""
    users = sorted(group & ours.keys() & theirs.keys())
    a, b = (np.array([of[user][0] for user in users]) for of in (ours, theirs))
    gain = paired_gain(a, b, RESAMPLES, 0)
    mean = max(float(b.mean()), 1e-12)
    low, value, high = (v / mean for v in (gain.low, gain.gain, gain.high))
    return {"value": value, "low": low, "high": high, "n": gain.n}


def shipping(found: Contested, kind: str, margin: float) -> list[str]:
    """The rivals of a kind that the promise would ship."""
    gains = {name: gain_to_decide(found, kind, name) for name in found.groups[kind]}
    return [
        f"{kind}@{name}"
        for name, gain in gains.items()
        if gain is not None and gain.gain > 0 and gain.lower_bound > -margin
    ]


def gain_to_decide(found: Contested, kind: str, group: str) -> Gain | None:
    """A group's gain over the family's general student, on users that chose nothing; None where
    there are none."""
    ours = found.users[VALIDATION][f"{kind}@{group}"]
    base = found.users[VALIDATION][general_of(found, kind)]
    users = np.array(sorted(ours))
    deciding = users[~in_selection(users)]
    if not len(deciding):
        return None
    a, b = (np.array([of[user][0] for user in deciding.tolist()]) for of in (ours, base))
    return paired_gain(a, b, RESAMPLES, 0)
