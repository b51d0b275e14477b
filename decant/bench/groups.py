"""Is a student of one's own worth it? Every way to make one, beside its rivals, group by group."""

import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.bench.clone import Clone
from decant.bench.data_sets import Say, prepare, read, run, train_teachers, with_interval
from decant.bench.results import Figure, Outcome
from decant.bench.rivals import (
    ALL,
    ALONE,
    GENERAL_KINDS,
    GROUP_KINDS,
    KNOWLEDGE,
    RIVALS,
    UNDISTILLED,
    contest,
    names_of,
)
from decant.bench.shop import change_params
from decant.distillation.prior import group_counts
from decant.evaluation.comparison import paired_gain
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.sequences import TEST, VALIDATION
from decant.features.validation import picking
from decant.params import GENERAL, TEACHER

PROGRAM = "decant.bench.rivals"
RESAMPLES = 10_000
STAGES = ("fingerprint", "embed", "segments")
SHOWN = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
         "learning_rate", "segment_epochs", "segment_learning_rate")  # fmt: skip
Users = dict[int, tuple[float, float]]  # NDCG and hit rate of each


@dataclass(frozen=True)
class Contested:
    """What all rivals reached: by window, then by rival, then by user."""

    users: dict[str, dict[str, Users]]
    figures: dict[str, dict[str, dict[str, float]]]  # of the test window, by rival and group
    members: dict[str, np.ndarray]
    differences: dict[str, float]
    k: int


def bench(
    project: Clone, say: Say, *, source: str, given: Path | None, profile: str,
    minutes: float | None,
) -> Outcome:  # fmt: skip
    """Prepare the data, train the teacher and every rival, compare them.

    Raises:
        NotDone: `minutes` have passed (what was learned is kept), or a step failed.
    """
    prepare(project, say, source, given, profile, STAGES)
    seed = project.read("params.yaml")["seed"]
    train_teachers(project, say, [seed], minutes)
    change_params(project, {"distill": {"threads": 1}})
    limit = [] if minutes is None else [f"--minutes={minutes:g}"]
    everybody, own = names_of(list(contest(project.root).members))
    say("what the teacher knows")
    run(project, KNOWLEDGE, program=PROGRAM)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        for what, names in (("models for everybody", everybody), ("models for a group", own)):
            say(f"{len(names)} {what}, {os.cpu_count()} at a time")
            list(pool.map(lambda name: run(project, name, *limit, program=PROGRAM), names))
    return outcome_of(project, source, profile)


def outcome_of(project: Clone, source: str, profile: str) -> Outcome:
    """Figures of what the program has written."""
    found = contested(project)
    params = project.read("params.yaml")
    outcome = Outcome(protocol(project, params, found, source, profile), [params["seed"]])
    for kind in GENERAL_KINDS:
        add_quality(outcome, f"rival.{kind}", list(found.users[TEST][kind].values()), found.k)
        for metric in ("coverage", "popularity"):
            outcome.measured(f"rival.{kind}.{metric}", found.figures[kind][ALL][metric])
    for kind in GROUP_KINDS:
        family = list(family_of(found, kind, TEST).values())
        add_quality(outcome, f"rival.{kind}", family, found.k)
    add_gains(outcome, found)
    add_distillation(outcome, found)
    add_shipped(outcome, found, params["gate"]["margin"])
    for name, difference in found.differences.items():
        outcome.measured(f"difference.{name}", difference, len(found.members[name]))
    outcome.shown = table(outcome.figures, list(found.members), found.k)
    outcome.picture = picture(outcome.figures, list(found.members))
    return outcome


def contested(project: Clone) -> Contested:
    """Read what every rival reached."""
    of = contest(project.root)
    everybody, own = names_of(list(of.members))
    results = {name: read(project.root / RIVALS / f"{name}.json") for name in (*everybody, *own)}
    k = of.data.params.evaluate.k
    users = {
        window: {name: by_user(result[window], k) for name, result in results.items()}
        for window in (VALIDATION, TEST)
    }
    figures = {name: result[TEST]["figures"] for name, result in results.items()}
    return Contested(users, figures, of.members, differences(of.data.sequences, of.members), k)


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


def family_of(found: Contested, kind: str, window: str, shipped: set[str] | None = None) -> Users:
    """Each user under the segment's model of this kind; all others, and if it does not ship,
    under general."""
    served = dict(found.users[window][GENERAL])
    for name in found.members if shipped is None else shipped:
        served.update(found.users[window][f"{kind}@{name}"])
    return served


def add_quality(outcome: Outcome, name: str, values: list[tuple[float, float]], k: int) -> None:
    """NDCG and HR with their intervals."""
    for column, metric in enumerate((f"ndcg@{k}", f"hr@{k}")):
        outcome.figures[f"{name}.{metric}"] = with_interval(
            [np.array([value[column] for value in values])]
        )


def add_gains(outcome: Outcome, found: Contested) -> None:
    """Relative gain in NDCG over the general student, of everybody and of each segment."""
    base = found.users[TEST][GENERAL]
    served = {kind: found.users[TEST][kind] for kind in GENERAL_KINDS if kind != GENERAL}
    served |= {kind: family_of(found, kind, TEST) for kind in GROUP_KINDS}
    inside = {name: set(users.tolist()) for name, users in found.members.items()}
    everybody = set().union(*inside.values())
    for kind, users in served.items():
        for name, group in {ALL: everybody, **inside}.items():
            outcome.figures[f"gain.{kind}.{name}"] = relative_gain(users, base, group)


def relative_gain(ours: Users, theirs: Users, group: set[int]) -> Figure:
    """Mean gain in NDCG ÷ their mean NDCG, paired by user."""
    users = sorted(group & ours.keys() & theirs.keys())
    a, b = (np.array([of[user][0] for user in users]) for of in (ours, theirs))
    gain = paired_gain(a, b, RESAMPLES, 0)
    mean = max(float(b.mean()), 1e-12)
    low, value, high = (v / mean for v in (gain.low, gain.gain, gain.high))
    return {"value": value, "low": low, "high": high, "n": gain.n}


def add_distillation(outcome: Outcome, found: Contested) -> None:
    """What the teacher's knowledge is worth to a student of the same size."""
    of = {k: found.users[TEST][k] for k in (TEACHER, GENERAL, UNDISTILLED)}
    everybody = set(of[GENERAL])
    outcome.figures["distillation.gain"] = relative_gain(of[GENERAL], of[UNDISTILLED], everybody)
    mean = {kind: float(np.mean([v[0] for v in users.values()])) for kind, users in of.items()}
    gap = mean[TEACHER] - mean[UNDISTILLED]
    if gap > 0:
        outcome.measured("distillation.gap_closed", (mean[GENERAL] - mean[UNDISTILLED]) / gap)
    outcome.measured("general.retention", mean[GENERAL] / mean[TEACHER])


def add_shipped(outcome: Outcome, found: Contested, margin: float) -> None:
    """Of each kind, what the promise would ship: decided on the deciding half of validation."""
    for kind in GROUP_KINDS:
        shipped = {name for name in found.members if ships(found, kind, name, margin)}
        family = family_of(found, kind, TEST, shipped)
        outcome.measured(f"shipped.{kind}", len(shipped), len(found.members))
        add_quality(outcome, f"shipped.{kind}", list(family.values()), found.k)
        base = found.users[TEST][GENERAL]
        outcome.figures[f"shipped.{kind}.gain"] = relative_gain(family, base, set(base))


def ships(found: Contested, kind: str, name: str, margin: float) -> bool:
    """Does it gain, and surely not lose, on users that chose nothing?"""
    ours, base = found.users[VALIDATION][f"{kind}@{name}"], found.users[VALIDATION][GENERAL]
    users = np.array(sorted(ours))
    deciding = users[~picking(users)]
    if not len(deciding):
        return False
    a, b = (np.array([of[user][0] for user in deciding.tolist()]) for of in (ours, base))
    gain = paired_gain(a, b, RESAMPLES, 0)
    return gain.gain > 0 and gain.lower_bound > -margin


def protocol(
    project: Clone, params: Mapping[str, Any], found: Contested, source: str, profile: str
) -> dict[str, str]:
    """How it was measured, for people."""
    of = contest(project.root)
    kinds = {**GENERAL_KINDS, **GROUP_KINDS}
    results = {name: read(project.root / RIVALS / f"{name}.json") for name in GENERAL_KINDS}
    segments = {name: f"{len(users):,} users" for name, users in found.members.items()}
    knowledge = read(project.root / RIVALS / f"{KNOWLEDGE}.json")
    return {
        "data": f"{source}, {len(of.data.encoder.items):,} items, profile {profile}; segments "
        + ", ".join(f"{name} ({size})" for name, size in segments.items()),
        "ranked": "the whole catalogue, ties against the model; mean over users",
        "chosen": "epochs and priors by one half of the validation users; the other half decides "
        f"what ships (gain above 0, lower bound above -{params['gate']['margin']}, "
        f"{RESAMPLES:,} paired resamples); test ranked once per model",
        "student": ", ".join(f"{name} {getattr(of.settings, name)}" for name in SHOWN)
        + f"; {results[GENERAL]['parameters']:,} parameters, teacher "
        f"{results[TEACHER]['parameters']:,}; every rival has the same steps and settings",
        "knowledge": f"{knowledge['positions']:,} positions, {sum(knowledge['bytes'].values()):,} "
        f"bytes, {knowledge['mass']:.0%} of the probability in the top {knowledge['top_k']}",
        **kinds,
        "gain": "in NDCG over the general student, relative",
        "difference": "Jensen-Shannon divergence of a segment's items from all others', in bits",
    }


def table(figures: Mapping[str, Figure], segments: list[str], k: int) -> str:
    """Rivals best first: quality, and gain over the general student, of each segment too."""
    kinds = sorted(
        {**GENERAL_KINDS, **GROUP_KINDS},
        key=lambda kind: -figures[f"rival.{kind}.ndcg@{k}"]["value"],
    )
    width = max(len(name) for name in (*kinds, *segments))
    lines = [f"{'test window'.ljust(width)}  NDCG@{k}   HR@{k}  gain of all in segments"]
    for kind in kinds:
        quality = (figures[f"rival.{kind}.{metric}@{k}"]["value"] for metric in ("ndcg", "hr"))
        cells = "  ".join(f"{value:7.4f}" for value in quality)
        gain = figures.get(f"gain.{kind}.{ALL}")
        lines.append(f"{kind.ljust(width)}  {cells}  {shown(gain) if gain else ''}".rstrip())
    shipping = ", ".join(
        f"{kind} {int(figures[f'shipped.{kind}']['value'])} of {len(segments)}, "
        f"{shown(figures[f'shipped.{kind}.gain'])}"
        for kind in GROUP_KINDS
    )
    lines += ["", f"what ships: {shipping}", ""]
    lines.append(
        f"{'gain'.ljust(width)}  differs  " + "  ".join(f"{kind:>24}" for kind in GROUP_KINDS)
    )
    for name in sorted(segments, key=lambda name: -figures[f"difference.{name}"]["value"]):
        gains = "  ".join(f"{shown(figures[f'gain.{kind}.{name}']):>24}" for kind in GROUP_KINDS)
        lines.append(f"{name.ljust(width)}  {figures[f'difference.{name}']['value']:7.4f}  {gains}")
    return "\n".join(lines)


def shown(figure: Figure) -> str:
    """A gain in percent, with its interval."""
    low, high = (0.0 if end is None else end for end in (figure["low"], figure["high"]))
    return f"{100 * figure['value']:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def picture(figures: Mapping[str, Figure], segments: list[str]) -> str:
    """Gain per group with its interval, and gain against how much the group differs; an SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Sheet

    from decant.report.robustness import ALIKE, COLOURS, MARKERS

    order = sorted(segments, key=lambda name: figures[f"difference.{name}"]["value"])
    with rc_context(ALIKE):
        sheet = Sheet(figsize=(11, 1.6 + 0.5 * len(order)), layout="constrained")
        left, right = sheet.subplots(1, 2)
        for number, kind in enumerate(GROUP_KINDS):
            style: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
                "linestyle": "none", "markersize": 5, "elinewidth": 1.1,
            }  # fmt: skip
            of = [figures[f"gain.{kind}.{name}"] for name in order]
            middle = np.array([100 * figure["value"] for figure in of])
            ends = np.array([[100 * (f["low"] or 0), 100 * (f["high"] or 0)] for f in of])
            bars = np.abs(ends - middle[:, None]).T
            offset = 0.18 * (number - (len(GROUP_KINDS) - 1) / 2)
            left.errorbar(middle, np.arange(len(order)) + offset, xerr=bars, label=kind, **style)
            if kind != ALONE:  # so far below that the others could not be told apart
                differ = [figures[f"difference.{name}"]["value"] for name in order]
                right.errorbar(differ, middle, yerr=bars, **style)
        left.set_yticks(np.arange(len(order)), order)
        left.set_xlabel("gain in NDCG over the general student, %")
        right.set_xlabel("how much the group's items differ from all others', bits")
        right.set_ylabel("gain, %")
        for axes in (left, right):
            axes.grid(color="#d4d8de", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        left.axvline(0, color="#444", linewidth=0.8)
        right.axhline(0, color="#444", linewidth=0.8)
        left.legend(frameon=False, fontsize=9)
        content = io.StringIO()
        sheet.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()
