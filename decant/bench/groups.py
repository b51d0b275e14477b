"""Is a student of one's own worth it? Every way to make one, beside its rivals, group by group."""

import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from decant.bench.clone import Clone
from decant.bench.data_sets import Say, prepare, read, run, train_teachers, with_interval
from decant.bench.released import add_released
from decant.bench.results import Figure, Outcome
from decant.bench.rivals import ALL, Contest, contest, knowledge_name, names_of
from decant.bench.shop import change_params
from decant.bench.ways import (
    ADAPTERS,
    ATTRIBUTES,
    FROM_ATTRIBUTES,
    GENERAL_KINDS,
    GENERAL_WAYS,
    GROUP_KINDS,
    GROUP_WAYS,
    KNOWLEDGE,
    PRIOR,
    RATES,
    SEGMENT,
    UNDISTILLED,
    UNDISTILLED_ATTRIBUTES,
)
from decant.distillation.prior import group_counts
from decant.evaluation.comparison import Gain, paired_gain
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.sequences import TEST, VALIDATION
from decant.features.validation import picking
from decant.params import GENERAL, TEACHER

PROGRAM, RELEASED = "decant.bench.rivals", "decant.bench.released"
RESAMPLES = 10_000
STAGES = ("fingerprint", "embed", "segments")
SHOWN = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
         "learning_rate", "segment_epochs", "segment_learning_rate")  # fmt: skip
Users = dict[int, tuple[float, float]]  # NDCG and hit rate of each


NEEDED = (UNDISTILLED, GENERAL, SEGMENT)
DRAWN = (SEGMENT, FROM_ATTRIBUTES, ADAPTERS, PRIOR)  # more could not be told apart


@dataclass(frozen=True)
class Contested:
    """What all rivals reached: by window, then by rival, then by user.

    `groups`: of each way for groups its groups and their users; `members`: those by attributes.
    """

    users: dict[str, dict[str, Users]]
    results: dict[str, dict[str, Any]]
    groups: dict[str, dict[str, np.ndarray]]
    members: dict[str, np.ndarray]
    differences: dict[str, float]
    k: int

    def of(self, kind: str) -> dict[str, Any]:
        """What a rival's program has written; of the first group's where there is one for each."""
        group = next(iter(self.groups[kind]), "") if kind in self.groups else ""
        return self.results[f"{kind}@{group}" if group else kind]


def bench(
    project: Clone, say: Say, *, source: str, given: Path | None, profile: str,
    minutes: float | None, tries: int = len(RATES), without: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """Prepare the data, train the teacher and every rival, compare them.

    Args:
        tries: learning rates that each rival may try. without: kinds that are left out.

    Raises:
        NotDone: `minutes` have passed (what was learned is kept), or a step failed.
        ValueError: what is left out does not exist, or another cannot do without it.
    """
    refuse_to_leave_out(without)
    prepare(project, say, source, given, profile, STAGES)
    seed = project.read("params.yaml")["seed"]
    limit = [f"--tries={tries}", *([] if minutes is None else [f"--minutes={minutes:g}"])]
    change_params(project, {"distill": {"threads": 1}})

    def train(name: str) -> None:
        run(project, name, *limit, program=PROGRAM)

    of = replace(contest(project.root), tries=tries, without=frozenset(without))
    first, *others = names_of(of)
    train_teachers(project, say, [seed], minutes, (lambda: train(*first)) if first else None)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        for names in others:
            say(f"{', '.join(names)}: {os.cpu_count()} at a time")
            list(pool.map(train, names))
        family = [TEACHER, GENERAL, *shipping(contested(of), SEGMENT, of.data.params.gate.margin)]
        say(f"as released: {', '.join(family)}")
        tried = f"--tries={tries}"
        list(pool.map(lambda name: run(project, name, tried, program=RELEASED), family))
    return outcome_of(of, source, profile)


def refuse_to_leave_out(without: Sequence[str]) -> None:
    """Some kinds every comparison needs, others are what one goes on from.

    Raises:
        ValueError: there is no such kind, or it cannot be left out.
    """
    ways = {**GENERAL_WAYS, **GROUP_WAYS}
    if unknown := [name for name in without if name not in (*ways, PRIOR)]:
        raise ValueError(
            f"--without: no kind `{unknown[0]}`; there are {', '.join((*ways, PRIOR))}"
        )
    for name in without:
        heirs = [n for n, way in ways.items() if way.start == name and n not in without]
        if name in NEEDED or heirs:
            why = (
                f"{', '.join(heirs)} starts from it" if heirs else "the others are compared with it"
            )
            raise ValueError(f"--without: `{name}` cannot be left out, {why}")


def outcome_of(of: Contest, source: str, profile: str) -> Outcome:
    """Figures of what the program has written."""
    params, found = of.data.params, contested(of)
    outcome = Outcome(protocol(of, found, source, profile), [of.seed])
    add_qualities(outcome, found)
    add_costs(outcome, found)
    add_gains(outcome, found)
    add_distillation(outcome, found)
    add_shipped(outcome, found, params.gate.margin)
    add_released(outcome, of, shipping(found, SEGMENT, params.gate.margin))
    for name, difference in found.differences.items():
        outcome.measured(f"difference.{name}", difference, len(found.members[name]))
    outcome.shown = table(outcome.figures, found)
    outcome.picture = picture(outcome.figures, list(found.members))
    return outcome


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
    if PRIOR not in of.without:
        groups[PRIOR] = of.members
    return Contested(
        users, results, groups, of.members,
        differences(of.data.sequences, of.members), k,
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
    served = dict(found.users[window][general_of(kind)])
    for name in found.groups[kind] if shipped is None else shipped:
        served.update(found.users[window][f"{kind}@{name}"])
    return served


def general_of(kind: str) -> str:
    """The general student of a kind's family, which serves where none of the kind ships."""
    way = GROUP_WAYS.get(kind)
    return GENERAL if way is None or way.start is None or way.width != 1 else way.start


def add_qualities(outcome: Outcome, found: Contested) -> None:
    """NDCG and HR with their intervals, coverage and popularity: of everybody, of each segment."""
    for kind in kinds_of(found):
        served = served_by(found, kind, TEST)
        add_quality(outcome, f"rival.{kind}", list(served.values()), found.k)
        for name, users in found.members.items():
            inside = [served[user] for user in users.tolist() if user in served]
            add_quality(outcome, f"rival.{kind}.{name}", inside, found.k)
            result = found.results.get(f"{kind}@{name}") or found.results.get(kind)
            figures = result[TEST]["figures"] if result else {}
            of_group = figures.get(name) or figures.get(ALL) or {}
            for metric in ("coverage", "popularity"):
                if metric in of_group:
                    outcome.measured(f"rival.{kind}.{name}.{metric}", of_group[metric])
        if kind not in found.groups:
            for metric in ("coverage", "popularity"):
                value = found.results[kind][TEST]["figures"][ALL][metric]
                outcome.measured(f"rival.{kind}.{metric}", value)


def kinds_of(found: Contested) -> list[str]:
    """All kinds that took part."""
    return [*(kind for kind in GENERAL_KINDS if kind in found.results), *found.groups]


def add_quality(outcome: Outcome, name: str, values: list[tuple[float, float]], k: int) -> None:
    """NDCG and HR with their intervals."""
    for column, metric in enumerate((f"ndcg@{k}", f"hr@{k}")):
        outcome.figures[f"{name}.{metric}"] = with_interval(
            [np.array([value[column] for value in values])]
        )


def add_costs(outcome: Outcome, found: Contested) -> None:
    """How many times fewer multiply-adds a request takes than with the teacher, and parameters;
    seconds of training."""
    for measure in ("multiply_adds", "parameters"):
        teacher = found.of(TEACHER)[measure]
        outcome.measured(f"{measure}.{TEACHER}", teacher)
        for kind in kinds_of(found):
            if kind != TEACHER:
                outcome.measured(f"{measure}.fewer.{kind}", teacher / found.of(kind)[measure])
    for kind in kinds_of(found):
        names = [f"{kind}@{group}" for group in found.groups.get(kind, ())] or [kind]
        seconds = [found.results[name].get("seconds", 0.0) for name in names]
        if any(seconds):
            outcome.measured(f"seconds.{kind}", round(sum(seconds), 1), len(names))


def add_gains(outcome: Outcome, found: Contested) -> None:
    """Relative gain in NDCG over the general student, of all users in segments, of each segment
    and of the one that general serves worst; and over the family's own general student."""
    base = found.users[TEST][GENERAL]
    inside = {name: set(users.tolist()) for name, users in found.members.items()}
    everybody = set().union(*inside.values())
    worst = min(inside, key=lambda name: mean_ndcg(found.users[VALIDATION][GENERAL], inside[name]))
    for kind in kinds_of(found):
        if kind == GENERAL:
            continue
        served = served_by(found, kind, TEST)
        for name, group in {ALL: everybody, "worst_served": inside[worst], **inside}.items():
            outcome.figures[f"gain.{kind}.{name}"] = relative_gain(served, base, group)
        if general_of(kind) != GENERAL:
            start = found.users[TEST][general_of(kind)]
            outcome.figures[f"gain.{kind}.over_its_general"] = relative_gain(
                served, start, everybody
            )
    for kind in found.groups:
        gains = [outcome.figures[f"gain.{kind}.{name}"]["value"] for name in inside]
        outcome.measured(f"gain.{kind}.mean_of_groups", float(np.mean(gains)), len(gains))
        differ = [found.differences[name] for name in inside]
        if len(inside) > 2:
            outcome.measured(f"gain.{kind}.with_difference", rank_correlation(differ, gains))


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's; 0 where one does not vary."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if len({*a}) > 1 and len({*b}) > 1 else 0.0


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


def add_distillation(outcome: Outcome, found: Contested) -> None:
    """What the teacher's knowledge is worth to a student of the same size and inputs."""
    teacher = found.users[TEST][TEACHER]
    goal = mean_ndcg(teacher, set(teacher))
    for name, taught, untaught in (
        ("distillation", GENERAL, UNDISTILLED),
        ("distillation.attributes", ATTRIBUTES, UNDISTILLED_ATTRIBUTES),
    ):
        if not {taught, untaught} <= found.results.keys():
            continue
        ours, theirs = (found.users[TEST][kind] for kind in (taught, untaught))
        outcome.figures[f"{name}.gain"] = relative_gain(ours, theirs, set(ours))
        reached, before = (mean_ndcg(users, set(users)) for users in (ours, theirs))
        if goal > before:
            outcome.measured(f"{name}.gap_closed", (reached - before) / (goal - before))
        outcome.measured(f"retention.{taught}", reached / goal)


def add_shipped(outcome: Outcome, found: Contested, margin: float) -> None:
    """Of each kind, what the promise would ship: decided on the deciding half of validation.

    `holds` counts the groups whose model surely keeps the quality of general, gain or not: enough
    where it is cheaper.
    """
    base = found.users[TEST][GENERAL]
    for kind, groups in found.groups.items():
        gains = {name: gain_to_decide(found, kind, name) for name in groups}
        known = {name: gain for name, gain in gains.items() if gain is not None}
        holds = {name for name, gain in known.items() if gain.lower_bound > -margin}
        shipped = {name.partition("@")[2] for name in shipping(found, kind, margin)}
        outcome.measured(f"holds.{kind}", len(holds), len(groups))
        outcome.measured(f"shipped.{kind}", len(shipped), len(groups))
        family = served_by(found, kind, TEST, shipped)
        add_quality(outcome, f"shipped.{kind}", list(family.values()), found.k)
        outcome.figures[f"shipped.{kind}.gain"] = relative_gain(family, base, set(base))
        teacher = mean_ndcg(found.users[TEST][TEACHER], set(base))
        outcome.measured(f"shipped.{kind}.retention", mean_ndcg(family, set(base)) / teacher)


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
    base = found.users[VALIDATION][general_of(kind)]
    users = np.array(sorted(ours))
    deciding = users[~picking(users)]
    if not len(deciding):
        return None
    a, b = (np.array([of[user][0] for user in deciding.tolist()]) for of in (ours, base))
    return paired_gain(a, b, RESAMPLES, 0)


def protocol(of: Contest, found: Contested, source: str, profile: str) -> dict[str, str]:
    """How it was measured, for people."""
    segments = {name: f"{len(users):,} users" for name, users in found.members.items()}
    kinds = {**GENERAL_KINDS, **GROUP_KINDS}
    known = {labels: read(of.result(knowledge_name(labels))) for labels in of.teachers}
    knowledge, margin = known[KNOWLEDGE], of.data.params.gate.margin
    return {
        "data": f"{source}, {len(of.data.encoder.items):,} items, profile {profile}; segments "
        + ", ".join(f"{name} ({size})" for name, size in segments.items()),
        "ranked": "the whole catalogue, ties against the model; mean over users",
        "chosen": "epochs, learning rates and priors by one half of the validation users; the "
        f"other half decides what ships (gain above 0, lower bound above -{margin}, "
        f"{RESAMPLES:,} paired resamples); test ranked once per model",
        "student": ", ".join(f"{name} {getattr(of.settings, name)}" for name in SHOWN)
        + f"; {found.of(GENERAL)['parameters']:,} parameters, teacher "
        f"{found.of(TEACHER)['parameters']:,}; every rival has the same steps and settings, and "
        f"tries {', '.join(f'{rate:g}' for rate in RATES[: of.tries])} times the learning rate",
        "knowledge": f"{knowledge['positions']:,} positions, {sum(knowledge['bytes'].values()):,} "
        f"bytes, {knowledge['mass']:.0%} of the probability in the top {knowledge['top_k']}, "
        f"{knowledge['seconds']:.0f} s",
        **{kind: kinds[kind] for kind in kinds_of(found)},
        "gain": "in NDCG over the general student, relative; `mean_of_groups`: each counts alike; "
        "`with_difference`: rank correlation with the difference",
        "difference": "Jensen-Shannon divergence of a segment's items from all others', in bits",
        "seconds": "of training, on one thread beside other work, all tries and groups together",
        "released": f"general and what ships of {SEGMENT}, pruned and quantised to int8, in the "
        "runtime that serves, beside the teacher there; bytes of all students together",
        "multiply-adds": "of all products of a request with a full history and the whole catalogue",
    }


def table(figures: Mapping[str, Figure], found: Contested) -> str:
    """Rivals best first: quality, cost, and gain over the general student, of each segment too."""
    k, segments = found.k, found.members
    kinds = sorted(kinds_of(found), key=lambda kind: -figures[f"rival.{kind}.ndcg@{k}"]["value"])
    width = max(len(name) for name in (*kinds, *segments))
    head = f"NDCG@{k}   HR@{k}  cheaper  gain of all in segments  ships"
    lines = [f"{'test window'.ljust(width)}  {head}"]
    for kind in kinds:
        quality = (figures[f"rival.{kind}.{metric}@{k}"]["value"] for metric in ("ndcg", "hr"))
        cells = "  ".join(f"{value:7.4f}" for value in quality)
        fewer, gain = figures.get(f"multiply_adds.fewer.{kind}"), figures.get(f"gain.{kind}.{ALL}")
        cost = f"{fewer['value']:.1f}x" if fewer else ""
        ships = ""
        if kind in found.groups:
            ships = f"{figures[f'shipped.{kind}']['value']:.0f} of {len(found.groups[kind])}"
        over = f"{cost:>7}  {shown(gain) if gain else '':>23}"
        lines.append(f"{kind.ljust(width)}  {cells}  {over}  {ships}".rstrip())
    lines += ["", *distillation_lines(figures), released_line(figures, k)]
    columns = (SEGMENT, *(kind for kind in kinds if kind in found.groups and kind != SEGMENT))
    lines += ["", f"{'gain'.ljust(width)}  differs  " + "  ".join(f"{c:>23}" for c in columns)]
    for name in sorted(segments, key=lambda name: -figures[f"difference.{name}"]["value"]):
        gains = "  ".join(f"{shown(figures[f'gain.{c}.{name}']):>23}" for c in columns)
        lines.append(f"{name.ljust(width)}  {figures[f'difference.{name}']['value']:7.4f}  {gains}")
    return "\n".join(lines)


def distillation_lines(figures: Mapping[str, Figure]) -> list[str]:
    """What the teacher's knowledge is worth, a line for each pair."""
    lines = []
    for name in ("distillation", "distillation.attributes"):
        gain, closed = figures.get(f"{name}.gain"), figures.get(f"{name}.gap_closed")
        if gain is not None:
            gap = f", {closed['value']:.0%} of the gap to the teacher" if closed else ""
            lines.append(f"{name}: {shown(gain)}{gap}")
    return lines


def released_line(figures: Mapping[str, Figure], k: int) -> str:
    """The family as released, in a line."""
    quality, kept, products, size = (
        figures[f"released.{name}"]
        for name in (f"ndcg@{k}", "retention", "multiply_adds.fewer", "bytes.fewer")
    )
    low, high = kept["low"] or 0.0, kept["high"] or 0.0
    return (
        f"released in int8: NDCG@{k} {quality['value']:.4f}, {kept['value']:.1%} of the teacher's "
        f"[{low:.1%}, {high:.1%}], {products['value']:.1f}x fewer multiply-adds, {size['n']} "
        f"students with {size['value']:.1f}x fewer bytes in all"
    )


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
        drawn = [kind for kind in DRAWN if f"gain.{kind}.{ALL}" in figures]
        for number, kind in enumerate(drawn):
            style: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
                "linestyle": "none", "markersize": 5, "elinewidth": 1.1,
            }  # fmt: skip
            of = [figures[f"gain.{kind}.{name}"] for name in order]
            middle = np.array([100 * figure["value"] for figure in of])
            ends = np.array([[100 * (f["low"] or 0), 100 * (f["high"] or 0)] for f in of])
            bars = np.abs(ends - middle[:, None]).T
            offset = 0.18 * (number - (len(drawn) - 1) / 2)
            left.errorbar(middle, np.arange(len(order)) + offset, xerr=bars, label=kind, **style)
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
