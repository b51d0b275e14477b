"""Is a student of one's own worth it, and which losses make the better one?

The students of a comparison are written into params.yaml as a preset; the ordinary graph trains,
compresses, evaluates and judges them; this reads what it has left.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.experiments.data_sets import Log, NotDoneError, prepare, with_interval
from benchmarks.experiments.groups_page import losses_table, picture, table
from benchmarks.experiments.student_scores import (
    RESAMPLES,
    Scores,
    differences,
    family,
    mean_ndcg,
    read_scores,
    relative_gain,
)
from benchmarks.experiments.variants import compare_groups, compare_losses
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import change_params
from decant.evaluation.evaluate import ALL, RELEASED
from decant.features.sequences import TEST, VALIDATION, Sequences
from decant.params.load import load_params
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Outcome

CHEAPER = 1.5  # times fewer multiply-adds: a group's own model is worth having for its cost
SHOWN = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
         "learning_rate", "segment_epochs", "segment_learning_rate")  # fmt: skip


def bench(
    project: Clone, log: Log, *, source: str, given: Path | None, profile: str,
    minutes: float | None = None, without: Sequence[str] = (), losses: bool = False,
) -> Outcome:  # fmt: skip
    """Configure the data set, write the students that are compared, run the flow, analyse.

    Args:
        minutes: stop the flow then; the same command goes on. without: kinds that are left out.
        losses: compare losses of the general student on validation instead of groups' students.

    Raises:
        NotDoneError: a stage failed, or `minutes` have passed.
        ValueError: a kind that is left out does not exist, or others start from it.
    """
    prepare(project, log, source, given, profile, ())
    params = load_params(project.root / "params.yaml")
    comparison = compare_losses(params) if losses else compare_groups(params, tuple(without))
    settings = {"students": comparison.students, "distill": {"threads": 1}}
    if losses:
        settings["knowledge"] = {"states": True, "relations": True}
    change_params(project, settings)
    log(f"{len(comparison.students)} students: {', '.join(comparison.texts)}")
    run_graph(project, minutes)
    changed = load_params(project.root / "params.yaml")
    scores = read_scores(project.root, changed, comparison)
    if losses:
        return losses_outcome(scores, source, profile)
    sequences = Sequences.load(project.root / "data" / "features" / "sequences")
    return groups_outcome(scores, differences(sequences, scores.members), source, profile)


def run_graph(project: Clone, minutes: float | None) -> None:
    """Run the flow until the gate has judged; whether it passes has no say here.

    Raises:
        NotDoneError: it has not come so far.
    """
    status = project.show("-m", "flows.retrain", "--no-promote", minutes=minutes)
    if "up to date" not in project.run("-m", "dvc", "status", "gate").said:
        raise NotDoneError(
            f"the flow ended with status {status}; the same command goes on from here"
        )


def groups_outcome(
    scores: Scores, difference: dict[str, float], source: str, profile: str
) -> Outcome:
    """Figures of a comparison of groups' students; `difference`: of each group from all others."""
    outcome = Outcome(protocol(scores, source, profile), [scores.params.seed])
    add_qualities(outcome, scores)
    add_costs(outcome, scores)
    add_gains(outcome, scores, difference)
    add_distillation(outcome, scores)
    add_accepted(outcome, scores)
    add_released(outcome, scores)
    for name, value in difference.items():
        outcome.measured(f"difference.{name}", value, len(scores.members[name]))
    outcome.shown = table(outcome.figures, scores)
    outcome.picture = picture(outcome.figures, list(scores.members))
    return outcome


def add_qualities(outcome: Outcome, scores: Scores) -> None:
    """NDCG and HR with their intervals: of all users, and of each group's."""
    for kind in scores.kinds:
        served = scores.served(kind, TEST)
        add_quality(outcome, f"student.{kind}", list(served.values()), scores.k)
        for name, users in scores.members.items():
            inside = [served[user] for user in users.tolist() if user in served]
            add_quality(outcome, f"student.{kind}.{name}", inside, scores.k)


def add_quality(outcome: Outcome, name: str, values: list[tuple[float, float]], k: int) -> None:
    """NDCG and HR with their intervals."""
    for column, metric in enumerate((f"ndcg@{k}", f"hr@{k}")):
        outcome.figures[f"{name}.{metric}"] = with_interval(
            [np.array([value[column] for value in values])]
        )


def add_costs(outcome: Outcome, scores: Scores) -> None:
    """How many times fewer multiply-adds and bytes a kind takes than the teacher; predictions that
    its students were trained on, those of a student that they start from left out."""
    for measure in ("multiply_adds", "bytes"):
        teacher = scores.cost(TEACHER, measure)
        outcome.measured(f"{measure}.{TEACHER}", teacher)
        for kind in scores.kinds[1:]:
            outcome.measured(f"{measure}.fewer.{kind}", teacher / scores.cost(kind, measure))
    for kind in scores.kinds[1:]:
        grouped = kind in scores.comparison.groups
        students = scores.students_of(kind).values() if grouped else [kind]
        events = [scores.trained[student]["events"] for student in students]
        outcome.measured(f"predictions.{kind}", sum(events), len(events))


def add_gains(outcome: Outcome, scores: Scores, difference: dict[str, float]) -> None:
    """Relative gain in NDCG over general: of all users in groups, of each group and of the one
    that general serves worst."""
    base = scores.users(GENERAL, TEST)
    inside = {name: set(users.tolist()) for name, users in scores.members.items()}
    everyone = set().union(*inside.values())
    validation = scores.users(GENERAL, VALIDATION)
    worst = min(inside, key=lambda name: mean_ndcg(validation, inside[name]))
    for kind in scores.kinds:
        if kind == GENERAL:
            continue
        served = scores.served(kind, TEST)
        for name, group in {ALL: everyone, "worst_served": inside[worst], **inside}.items():
            outcome.figures[f"gain.{kind}.{name}"] = relative_gain(served, base, group)
        if kind not in scores.comparison.groups:
            continue
        gains = [outcome.figures[f"gain.{kind}.{name}"]["value"] for name in inside]
        outcome.measured(f"gain.{kind}.mean_of_groups", float(np.mean(gains)), len(gains))
        differ = [difference[name] for name in inside]
        if len({*gains}) > 1 and len({*differ}) > 1:
            correlation = float(spearmanr(differ, gains).statistic)
            outcome.measured(f"gain.{kind}.with_difference", correlation)


def add_distillation(outcome: Outcome, scores: Scores) -> None:
    """What the teacher's knowledge is worth to a student of the same size and inputs."""
    teacher = mean_ndcg(scores.users(TEACHER, TEST))
    kinds = scores.comparison.general
    pairs = {GENERAL: "undistilled"} | {
        kind: f"undistilled_{kind}" for kind in kinds if f"undistilled_{kind}" in kinds
    }
    for taught, untaught in pairs.items():
        if untaught not in kinds:
            continue
        ours, theirs = scores.users(taught, TEST), scores.users(untaught, TEST)
        outcome.figures[f"distillation.{taught}.gain"] = relative_gain(ours, theirs)
        reached, before = mean_ndcg(ours), mean_ndcg(theirs)
        if teacher > before:
            gap = (reached - before) / (teacher - before)
            outcome.measured(f"distillation.{taught}.gap_closed", gap)
        outcome.measured(f"retention.{taught}", reached / teacher)


def add_accepted(outcome: Outcome, scores: Scores) -> None:
    """What the rule of the gate would accept of each kind, and the family that this gives.

    `holds` counts the groups whose student surely keeps within the margin, gain or not; `cheaper`
    those of them whose student takes so many times fewer multiply-adds than general.
    """
    base = scores.users(GENERAL, TEST)
    teacher = mean_ndcg(scores.users(TEACHER, TEST))
    general, margin = scores.cost(GENERAL, "multiply_adds"), scores.params.gate.margin
    for kind in scores.comparison.groups:
        students = scores.students_of(kind)
        gains = {group: scores.decision_gain(s, group) for group, s in students.items()}
        holds = [g for g, gain in gains.items() if gain is not None and gain.lower_bound > -margin]
        costs = {g: float(scores.model(students[g])["multiply_adds"]) for g in holds}
        accepted = scores.accepted(kind)
        outcome.measured(f"holds.{kind}", len(holds), len(students))
        outcome.measured(f"accepted.{kind}", len(accepted), len(students))
        cheaper = [group for group, cost in costs.items() if general >= CHEAPER * cost]
        outcome.measured(f"cheaper.{kind}", len(cheaper), len(students))
        served = scores.served(kind, TEST, accepted)
        add_quality(outcome, f"accepted.{kind}", list(served.values()), scores.k)
        outcome.figures[f"accepted.{kind}.gain"] = relative_gain(served, base)
        outcome.measured(f"accepted.{kind}.retention", mean_ndcg(served) / teacher)


def add_released(outcome: Outcome, scores: Scores) -> None:
    """The family as the gate releases it, in int8, beside the teacher: quality and cost.

    Multiply-adds are those of the most expensive student, bytes those of all students together.
    """
    served, teacher = family(scores, TEST), scores.users(TEACHER, TEST)
    add_quality(outcome, "family", list(served.values()), scores.k)
    over = relative_gain(served, teacher)
    assert over["low"] is not None and over["high"] is not None
    outcome.figures["family.retention"] = {
        "value": 1 + over["value"], "low": 1 + over["low"], "high": 1 + over["high"],
        "n": over["n"],
    }  # fmt: skip
    ships = [name for name, segment in scores.verdict["segments"].items() if segment["ships"]]
    students = [scores.model(name, RELEASED) for name in (GENERAL, *ships)]
    costs = {
        "multiply_adds": max(student["multiply_adds"] for student in students),
        "bytes": sum(student["bytes"] for student in students),
    }
    for measure, ours in costs.items():
        fewer = scores.model(TEACHER)[measure] / ours
        outcome.measured(f"family.{measure}.fewer", fewer, len(students))
    outcome.measured("gate.passed", int(scores.verdict["passed"]))


def losses_outcome(scores: Scores, source: str, profile: str) -> Outcome:
    """Figures of a comparison of losses: all of validation, none of test."""
    outcome = Outcome(protocol(scores, source, profile), [scores.params.seed])
    hard = scores.users("hard", VALIDATION)
    for kind in scores.kinds:
        users = scores.users(kind, VALIDATION)
        values = np.array([ndcg for ndcg, _ in users.values()])
        outcome.figures[f"{kind}.validation.ndcg@{scores.k}"] = with_interval([values])
        if kind != TEACHER:
            outcome.figures[f"{kind}.gain"] = relative_gain(users, hard)
            outcome.measured(f"{kind}.predictions", scores.trained[kind]["events"])
            outcome.measured(f"{kind}.best_epoch", scores.trained[kind]["best_epoch"])
    outcome.shown = losses_table(outcome.figures, scores.kinds, scores.k)
    return outcome


def protocol(scores: Scores, source: str, profile: str) -> dict[str, str]:
    """How it was measured, for people."""
    params, comparison = scores.params, scores.comparison
    groups = ", ".join(f"{name} ({len(u):,} users)" for name, u in scores.members.items())
    student = ", ".join(f"{name} {getattr(params.distill, name)}" for name in SHOWN)
    common = {
        "data": f"{source}, {scores.metrics['catalogue']:,} items, profile {profile}"
        + (f"; segments {groups}" if groups else ""),
        "students": f"{len(comparison.students)} in params.yaml, trained, compressed, evaluated "
        "and judged by the ordinary graph; all have the same steps and settings but those named",
        "student": student,
        **{kind: comparison.texts[kind] for kind in scores.kinds},
    }
    if not comparison.groups:
        return {
            **common,
            "ranked": "the whole catalogue, ties against the model; mean over the users of "
            "validation, half of whom choose each model's epoch; nothing of test is looked at",
            "gain": "over hard labels alone, relative, paired by user",
        }
    return {
        **common,
        "ranked": "the whole catalogue, ties against the model, in the runtime that serves; mean "
        "over users",
        "selected": "epochs by one half of the validation users; the other half decides what is "
        f"accepted (gain above 0, lower bound above -{params.gate.margin}, {RESAMPLES:,} paired "
        "resamples)",
        "gain": "in NDCG over the general student, relative; `mean_of_groups`: each counts alike; "
        "`with_difference`: rank correlation with the difference",
        "difference": "Jensen-Shannon divergence of a segment's items from all others', in bits",
        "cheaper": f"groups whose student keeps within the margin and takes {CHEAPER:g} times "
        "fewer multiply-adds than general",
        "family": "as the gate releases it: pruned and quantised to int8; bytes of all students",
        "multiply_adds": "of all products of a request with a full history and the whole catalogue",
    }
