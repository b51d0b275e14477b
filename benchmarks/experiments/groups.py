"""Is a student of one's own worth it? Every way to make one, beside its rivals, group by group."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.experiments.analysis import (
    RESAMPLES,
    Contested,
    contested,
    gain_to_decide,
    general_of,
    kinds_of,
    mean_ndcg,
    relative_gain,
    served_by,
    shipping,
)
from benchmarks.experiments.comparison import Contest, contest, knowledge_name, names_of
from benchmarks.experiments.data_sets import Say, prepare, read, run, train_teachers, with_interval
from benchmarks.experiments.groups_page import picture, table
from benchmarks.experiments.released import add_released
from benchmarks.experiments.teachers import teacher_name
from benchmarks.experiments.train_variant import ALL
from benchmarks.experiments.variants import (
    ATTRIBUTES,
    GENERAL_KINDS,
    GENERAL_WAYS,
    GROUP_KINDS,
    GROUP_WAYS,
    KNOWLEDGE,
    SEGMENT,
    SHORT,
    TRIES,
    UNDISTILLED,
    UNDISTILLED_ATTRIBUTES,
    UNTRAINED,
)
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import change_params
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Outcome

PROGRAM, RELEASED = "benchmarks.experiments.train_variant", "benchmarks.experiments.released"
STAGES = ("fingerprint", "embed", "segments")
SHOWN = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
         "learning_rate", "segment_epochs", "segment_learning_rate")  # fmt: skip
NEEDED = (UNDISTILLED, GENERAL, SEGMENT)
CHEAPER = 1.5  # times fewer multiply-adds: a group's own model is worth having for its cost


def bench(
    project: Clone, say: Say, *, source: str, given: Path | None, profile: str,
    minutes: float | None, tries: int = len(TRIES), without: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """Prepare the data, train the teacher and every rival, compare them.

    Args:
        tries: settings that each rival may try. without: kinds that are left out.

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
    refuse_to_leave_out(without, of.family)
    first, *others = names_of(of)
    train_teachers(project, say, [seed], minutes, (lambda: train(*first)) if first else None)
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        for names in others:
            left = [name for name in names if not of.done(name)]
            kinds = dict.fromkeys(name.partition("@")[0] for name in left)
            if left:
                say(f"{', '.join(kinds)}: {len(left)} to do, {os.cpu_count()} at a time")
            list(pool.map(train, left))
        general, segment = of.family
        shipped = shipping(contested(of), segment, of.data.params.gate.margin)
        family = [TEACHER, general, *shipped]
        say(f"as released: {', '.join(family)}")
        tried = f"--tries={tries}"
        list(pool.map(lambda name: run(project, name, tried, program=RELEASED), family))
    return outcome_of(of, source, profile)


def refuse_to_leave_out(without: Sequence[str], family: Sequence[str] = ()) -> None:
    """Some kinds every comparison needs, others are what one goes on from.

    Raises:
        ValueError: there is no such kind, or it cannot be left out.
    """
    ways = {**GENERAL_WAYS, **GROUP_WAYS}
    if unknown := [name for name in without if name not in (*ways, *UNTRAINED)]:
        raise ValueError(
            f"--without: no kind `{unknown[0]}`; there are {', '.join((*ways, *UNTRAINED))}"
        )
    for name in without:
        heirs = [n for n, way in ways.items() if way.start == name and n not in without]
        if name in (*NEEDED, *family) or heirs:
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
    add_released(outcome, of, shipping(found, of.family[1], params.gate.margin))
    for name, difference in found.differences.items():
        outcome.measured(f"difference.{name}", difference, len(found.members[name]))
    outcome.shown = table(outcome.figures, found)
    outcome.picture = picture(outcome.figures, list(found.members))
    return outcome


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
        teacher = found.mean(TEACHER, measure)
        outcome.measured(f"{measure}.{TEACHER}", teacher)
        for kind in kinds_of(found):
            if kind != TEACHER:
                outcome.measured(f"{measure}.fewer.{kind}", teacher / found.mean(kind, measure))
    for kind in kinds_of(found):
        seconds = [result.get("seconds", 0.0) for result in found.of(kind)]
        if any(seconds):
            outcome.measured(f"seconds.{kind}", round(sum(seconds), 1), len(seconds))
    for group in found.groups.get(SHORT, ()):
        for measure in ("history", "of_requests"):
            outcome.measured(
                f"{SHORT}.{group}.{measure}", found.results[f"{SHORT}@{group}"][measure]
            )


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
        if general_of(found, kind) != GENERAL:
            start = found.users[TEST][general_of(found, kind)]
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

    `holds` counts the groups whose model surely keeps the quality of the family's general student,
    gain or not; `cheaper` those of them whose model takes that much less than that student.
    """
    base = found.users[TEST][GENERAL]
    for kind, groups in found.groups.items():
        gains = {name: gain_to_decide(found, kind, name) for name in groups}
        known = {name: gain for name, gain in gains.items() if gain is not None}
        holds = {name for name, gain in known.items() if gain.lower_bound > -margin}
        shipped = {name.partition("@")[2] for name in shipping(found, kind, margin)}
        outcome.measured(f"holds.{kind}", len(holds), len(groups))
        outcome.measured(f"shipped.{kind}", len(shipped), len(groups))
        whole = found.mean(general_of(found, kind), "multiply_adds")
        cheap = {
            name for name in holds
            if whole >= CHEAPER * found.results[f"{kind}@{name}"]["multiply_adds"]
        }  # fmt: skip
        outcome.measured(f"cheaper.{kind}", len(cheap), len(groups))
        family = served_by(found, kind, TEST, shipped)
        add_quality(outcome, f"shipped.{kind}", list(family.values()), found.k)
        outcome.figures[f"shipped.{kind}.gain"] = relative_gain(family, base, set(base))
        teacher = mean_ndcg(found.users[TEST][TEACHER], set(base))
        outcome.measured(f"shipped.{kind}.retention", mean_ndcg(family, set(base)) / teacher)


def protocol(of: Contest, found: Contested, source: str, profile: str) -> dict[str, str]:
    """How it was measured, for people."""
    segments = {name: f"{len(users):,} users" for name, users in found.members.items()}
    kinds = {**GENERAL_KINDS, **GROUP_KINDS}
    known = {labels: read(of.result(knowledge_name(labels))) for labels in of.teachers}
    knowledge, margin = known[KNOWLEDGE], of.data.params.gate.margin
    general, compress = GENERAL_WAYS[GENERAL].settings(of.settings), of.data.params.compress
    return {
        "data": f"{source}, {len(of.data.encoder.items):,} items, profile {profile}; segments "
        + ", ".join(f"{name} ({size})" for name, size in segments.items()),
        "ranked": "the whole catalogue, ties against the model; mean over users",
        "chosen": "epochs, learning rates, dropout and priors by one half of the validation users; "
        f"the other half decides what ships (gain above 0, lower bound above -{margin}, "
        f"{RESAMPLES:,} paired resamples); test ranked once per model",
        "cheaper": "groups whose model surely keeps within that margin of the family's general "
        f"student, gain or not, and takes {CHEAPER:g} times fewer multiply-adds; "
        f"{SHORT}.GROUP.history: events that are read, .of_requests: times fewer multiply-adds of "
        "the group's own requests",
        "student": ", ".join(f"{name} {getattr(general, name)}" for name in SHOWN)
        + f"; {found.mean(GENERAL, 'parameters'):,.0f} parameters, teacher "
        f"{found.mean(TEACHER, 'parameters'):,.0f}; every rival has the same steps and settings, "
        f"and tries {'; '.join(map(str, TRIES[: of.tries]))} (times the learning rate, added "
        "dropout); who goes on from a student keeps its dropout and tries the other settings alone",
        "knowledge": f"{knowledge['positions']:,} positions, {sum(knowledge['bytes'].values()):,} "
        f"bytes, {knowledge['mass']:.0%} of the probability in the top {knowledge['top_k']}, "
        f"{knowledge['seconds']:.0f} s",
        **{kind: kinds[kind] for kind in kinds_of(found)},
        "gain": "in NDCG over the general student, relative; `mean_of_groups`: each counts alike; "
        "`with_difference`: rank correlation with the difference",
        "difference": "Jensen-Shannon divergence of a segment's items from all others', in bits",
        "seconds": "of training, beside other work, all tries and groups together; the teacher's "
        f"device: {read(of.data.result(teacher_name(of.seed)))['device']}",
        "released": f"the preset's students: {of.family[0]} and what ships of {of.family[1]}, "
        f"pruned ({compress.heads_kept:.0%} of heads and {compress.hidden_kept:.0%} of units stay) "
        "and quantised to int8, in the runtime that serves, beside the teacher there; "
        "bytes of all students together",
        "multiply-adds": "of all products of a request with a full history and the whole catalogue",
    }
