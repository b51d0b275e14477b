"""Comparison of student variants of user groups, and of the losses of a student.

The students of a comparison are written into params.yaml; the ordinary pipeline trains, compresses,
evaluates and gates them; this module analyses the outputs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.experiments.data_sets import WINDOWS, Log, prepare, run_graph, with_interval
from benchmarks.experiments.groups_page import losses_table, picture, table
from benchmarks.experiments.student_scores import (
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
from benchmarks.provenance.trainings import trainings
from decant.evaluation.evaluate import ALL, RELEASED
from decant.features.sequences import TEST, VALIDATION, Sequences
from decant.params.load import load_params
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Outcome

CHEAPER = 1.5  # times fewer multiply-adds that make a group's own model worthwhile for its cost
SHOWN = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
         "learning_rate", "segment_epochs", "segment_learning_rate")  # fmt: skip


def bench(
    project: Clone, log: Log, *, source: str, given: Path | None, profile: str,
    minutes: float | None = None, without: Sequence[str] = (), losses: bool = False,
    window: str = VALIDATION, protocol: str | None = None, groups: str | None = None,
) -> Outcome:  # fmt: skip
    """Configure the data set, write the compared students, run the flow, analyse.

    Args:
        minutes: stop the flow then; the same command resumes. without: variants to leave out.
        losses: compare losses of the general student on validation, not groups' students.
        window: the one that is ranked; the flow's lines about test are shown for that alone.
        groups: of the preset by name; None: its students.

    Raises:
        NotDoneError: a stage failed, or `minutes` have passed.
        ValueError: a variant to leave out does not exist, or others start from it.
    """
    prepare(project, log, source, given, profile, protocol=protocol, groups=groups)
    params = load_params(project.root / "params.yaml")
    comparison = compare_losses(params) if losses else compare_groups(params, tuple(without))
    change_params(project, comparison.settings)
    log(f"{len(comparison.students)} students: {', '.join(comparison.texts)}")
    run_graph(project, minutes, window)
    changed = load_params(project.root / "params.yaml")
    scores = read_scores(project.root, changed, comparison)
    if losses:
        outcome = losses_outcome(scores, source, profile)
    else:
        sequences = Sequences.load(project.root / "data" / "features" / "sequences")
        difference = differences(sequences, scores.members)
        outcome = groups_outcome(scores, difference, source, profile, window)
    outcome.trained = trainings(project.root)
    return outcome


def groups_outcome(
    scores: Scores, difference: dict[str, float], source: str, profile: str, window: str
) -> Outcome:
    """Figures of a comparison of groups' students on a window; `difference`: of each group from
    all others."""
    described = {"window": WINDOWS[window], **protocol(scores, source, profile)}
    outcome = Outcome(described, [scores.params.seed])
    add_qualities(outcome, scores, window)
    add_costs(outcome, scores)
    add_gains(outcome, scores, difference, window)
    add_distillation(outcome, scores, window)
    add_accepted(outcome, scores, window)
    add_released(outcome, scores, window)
    for name, value in difference.items():
        outcome.measured(f"difference.{name}", value, len(scores.members[name]))
    outcome.shown = table(outcome.figures, scores, window)
    outcome.picture = picture(outcome.figures, list(scores.members))
    return outcome


def add_qualities(outcome: Outcome, scores: Scores, window: str) -> None:
    """NDCG and HR with their intervals: of all users, and of each group's."""
    for variant in scores.variants:
        served = scores.served(variant, window)
        add_quality(outcome, f"student.{variant}", list(served.values()), scores.k)
        for name, users in scores.members.items():
            inside = [served[user] for user in users.tolist() if user in served]
            add_quality(outcome, f"student.{variant}.{name}", inside, scores.k)


def add_quality(outcome: Outcome, name: str, values: list[tuple[float, float]], k: int) -> None:
    """NDCG and HR with their intervals."""
    for column, metric in enumerate((f"ndcg@{k}", f"hr@{k}")):
        outcome.figures[f"{name}.{metric}"] = with_interval(
            [np.array([value[column] for value in values])]
        )


def add_costs(outcome: Outcome, scores: Scores) -> None:
    """Multiply-adds and bytes, teacher ÷ variant; and training predictions of its students, without
    those of the student that they start from."""
    for measure in ("multiply_adds", "bytes"):
        teacher = scores.cost(TEACHER, measure)
        outcome.measured(f"{measure}.{TEACHER}", teacher)
        for variant in scores.variants[1:]:
            outcome.measured(f"{measure}.fewer.{variant}", teacher / scores.cost(variant, measure))
    for variant in scores.variants[1:]:
        grouped = variant in scores.comparison.groups
        students = scores.students_of(variant).values() if grouped else [variant]
        events = [scores.trained[student]["events"] for student in students]
        outcome.measured(f"predictions.{variant}", sum(events), len(events))


def add_gains(outcome: Outcome, scores: Scores, difference: dict[str, float], window: str) -> None:
    """Relative gain in NDCG over general: of all users in groups, of each group, and of the group
    with the lowest NDCG under general."""
    base = scores.users(GENERAL, window)
    inside = {name: set(users.tolist()) for name, users in scores.members.items()}
    in_groups = set().union(*inside.values())
    validation = scores.users(GENERAL, VALIDATION)
    worst = min(inside, key=lambda name: mean_ndcg(validation, inside[name]))
    for variant in scores.variants:
        if variant == GENERAL:
            continue
        served = scores.served(variant, window)
        for name, group in {ALL: in_groups, "worst_served": inside[worst], **inside}.items():
            outcome.figures[f"gain.{variant}.{name}"] = relative_gain(served, base, group)
        if variant not in scores.comparison.groups:
            continue
        gains = [outcome.figures[f"gain.{variant}.{name}"]["value"] for name in inside]
        outcome.measured(f"gain.{variant}.mean_of_groups", float(np.mean(gains)), len(gains))
        differ = [difference[name] for name in inside]
        if len({*gains}) > 1 and len({*differ}) > 1:
            correlation = float(spearmanr(differ, gains).statistic)
            outcome.measured(f"gain.{variant}.with_difference", correlation)


def add_distillation(outcome: Outcome, scores: Scores, window: str) -> None:
    """Gain from distillation for students of the same size and inputs."""
    teacher = mean_ndcg(scores.users(TEACHER, window))
    variants = scores.comparison.general
    pairs = {GENERAL: "undistilled"} | {
        variant: f"undistilled_{variant}"
        for variant in variants
        if f"undistilled_{variant}" in variants
    }
    for distilled, undistilled in pairs.items():
        if undistilled not in variants:
            continue
        ours, theirs = scores.users(distilled, window), scores.users(undistilled, window)
        outcome.figures[f"distillation.{distilled}.gain"] = relative_gain(ours, theirs)
        reached, before = mean_ndcg(ours), mean_ndcg(theirs)
        if teacher > before:
            gap = (reached - before) / (teacher - before)
            outcome.measured(f"distillation.{distilled}.gap_closed", gap)
        outcome.measured(f"retention.{distilled}", reached / teacher)


def add_accepted(outcome: Outcome, scores: Scores, window: str) -> None:
    """Students of each variant that the gate accepts, and the family that they would make.

    `holds` counts the groups with a non-inferior student, with or without a gain; `cheaper` those
    of them whose student takes `CHEAPER` times fewer multiply-adds than general.
    """
    base = scores.users(GENERAL, window)
    teacher = mean_ndcg(scores.users(TEACHER, window))
    general = scores.cost(GENERAL, "multiply_adds")
    in_groups = set().union(*(users.tolist() for users in scores.members.values()))
    for variant in scores.comparison.groups:
        students = scores.students_of(variant)
        holds = scores.holds(variant)
        costs = {g: float(scores.model(students[g])["multiply_adds"]) for g in holds}
        accepted = scores.accepted(variant)
        outcome.measured(f"holds.{variant}", len(holds), len(students))
        outcome.measured(f"accepted.{variant}", len(accepted), len(students))
        cheaper = [group for group, cost in costs.items() if general >= CHEAPER * cost]
        outcome.measured(f"cheaper.{variant}", len(cheaper), len(students))
        served = scores.served(variant, window, accepted)
        add_quality(outcome, f"accepted.{variant}", list(served.values()), scores.k)
        outcome.figures[f"accepted.{variant}.gain"] = relative_gain(served, base, in_groups)
        outcome.measured(f"accepted.{variant}.retention", mean_ndcg(served) / teacher)


def add_released(outcome: Outcome, scores: Scores, window: str) -> None:
    """Quality and cost of the family as released, in int8, relative to the teacher.

    Multiply-adds are those of the most expensive student, bytes those of all students together.
    """
    served, teacher = family(scores, window), scores.users(TEACHER, window)
    add_quality(outcome, "family", list(served.values()), scores.k)
    over = relative_gain(served, teacher)
    assert over["low"] is not None and over["high"] is not None
    outcome.figures["family.retention"] = {
        "value": 1 + over["value"], "low": 1 + over["low"], "high": 1 + over["high"],
        "n": over["n"],
    }  # fmt: skip
    accepted = [name for name, s in scores.verdict["segments"].items() if s["ships"]]
    students = [scores.model(name, RELEASED) for name in (GENERAL, *accepted)]
    costs = {
        "multiply_adds": max(student["multiply_adds"] for student in students),
        "bytes": sum(student["bytes"] for student in students),
    }
    for measure, ours in costs.items():
        fewer = scores.model(TEACHER)[measure] / ours
        outcome.measured(f"family.{measure}.fewer", fewer, len(students))
    if window == TEST:  # the gate may look at test
        outcome.measured("gate.passed", int(scores.verdict["passed"]))


def losses_outcome(scores: Scores, source: str, profile: str) -> Outcome:
    """Figures of a comparison of losses, all on validation."""
    outcome = Outcome(protocol(scores, source, profile), [scores.params.seed])
    hard = scores.users("hard", VALIDATION)
    for variant in scores.variants:
        users = scores.users(variant, VALIDATION)
        values = np.array([ndcg for ndcg, _ in users.values()])
        outcome.figures[f"{variant}.validation.ndcg@{scores.k}"] = with_interval([values])
        if variant != TEACHER:
            outcome.figures[f"{variant}.gain"] = relative_gain(users, hard)
            outcome.measured(f"{variant}.predictions", scores.trained[variant]["events"])
            outcome.measured(f"{variant}.best_epoch", scores.trained[variant]["best_epoch"])
    outcome.shown = losses_table(outcome.figures, scores.variants, scores.k)
    return outcome


def protocol(scores: Scores, source: str, profile: str) -> dict[str, str]:
    """Description of the protocol."""
    params, comparison = scores.params, scores.comparison
    groups = ", ".join(f"{name} ({len(u):,} users)" for name, u in scores.members.items())
    student = ", ".join(f"{name} {getattr(params.distill, name)}" for name in SHOWN)
    published = f", protocol {params.ingest.protocol}" if params.ingest.protocol else ""
    common = {
        "data": f"{source}{published}, {scores.metrics['catalogue']:,} items, profile {profile}"
        + (f"; segments {groups}" if groups else ""),
        "students": f"{len(comparison.students)} in params.yaml, trained, compressed, evaluated "
        "and gated by the ordinary pipeline; all settings are equal except those named",
        "student": student,
        **{variant: comparison.texts[variant] for variant in scores.variants},
    }
    if not comparison.groups:
        return {
            **common,
            "ranked": "the whole catalogue, ties against the model; mean over the users of "
            "validation, half of whom select each model's epoch; test is not used",
            "gain": "over hard labels, relative, paired by user",
        }
    return {
        **common,
        "ranked": "the whole catalogue, ties against the model, in the serving runtime; mean over "
        "users",
        "selected": "epochs on one half of the validation users; the other half decides on "
        f"acceptance by the gate's rule (a gain above 0, a loss of {params.gate.margin:.1%} "
        "excluded, all groups together); a variant is judged in the place of the preset's student",
        "gain": "in NDCG over the general student, relative, of all users in segments: `of all` if "
        "each group got the student, `of accepted` if the gate decides; `mean_of_groups`: "
        "unweighted; "
        "`with_difference`: rank correlation with the difference",
        "difference": "Jensen-Shannon divergence of a segment's items from all others', in bits",
        "cheaper": f"groups whose student is non-inferior and takes {CHEAPER:g} times fewer "
        "multiply-adds than general",
        "family": "as released: pruned and quantised to int8; bytes of all students",
        "multiply_adds": "of all products of a request with a full history and the whole catalogue",
    }
