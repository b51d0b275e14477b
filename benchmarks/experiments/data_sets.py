"""Published data sets: quality of the teacher against traditional models, over seeds."""

import json
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.teachers import (
    ALONE,
    BASELINES,
    ENSEMBLE,
    NOT_DONE,
    TEACHERS,
    member_name,
    teacher_name,
)
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import change_params
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.sequences import TEST, VALIDATION
from decant.release.checks import best_baseline
from decant.report.results import Figure, Outcome

RESAMPLES = 2000
STAGES = ("fingerprint", "embed")
TEACHER = "teacher"
METRICS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"ndcg": ndcg, "hr": hit}
Log = Callable[[str], None]


class NotDoneError(ValueError):
    """The time limit of the benchmark was reached, or a step failed."""


def bench(
    project: Clone, log: Log, *, source: str, given: Path | None, profile: str, seeds: int,
    minutes: float | None,
) -> Outcome:  # fmt: skip
    """Prepare the data, train a teacher per seed, measure it and every traditional model.

    Raises:
        NotDoneError: `minutes` have passed (the training can be resumed), or a step failed.
    """
    prepare(project, log, source, given, profile)
    drawn = [project.read("params.yaml")["seed"] + number for number in range(seeds)]
    run(project)
    train_teachers(project, log, drawn, minutes)
    if seeds > 1:
        run(project, *map(str, drawn))
    return outcome_of(project, drawn, source, profile)


def train_teachers(
    project: Clone, log: Log, drawn: list[int], minutes: float | None,
    beside: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Train a teacher per seed, after the members of their ensemble.

    Two single-threaded processes are nearly twice as fast as one with two threads, so the cores are
    divided between processes.

    Args:
        beside: a job to run in parallel with the teachers.

    Raises:
        NotDoneError: see `run`.
    """
    ensemble = project.read("params.yaml")[TEACHER]["ensemble"]
    jobs = len(drawn) + (beside is not None)
    at_once = max(1, min(max(jobs, ensemble), os.cpu_count() or 1))
    threads = max(1, (os.cpu_count() or 1) // at_once)
    change_params(project, {TEACHER: {"threads": threads}})
    limit = [] if minutes is None else [f"--minutes={minutes:g}"]
    members = [f"--member={number}" for number in range(1, ensemble + 1)]
    with ThreadPoolExecutor(at_once) as pool:
        if members:
            log(f"{ensemble} ensemble members, {at_once} at a time")
            list(pool.map(lambda member: run(project, member, *limit), members))
        log(f"teachers with seeds {', '.join(map(str, drawn))}, {at_once} at a time")
        other = None if beside is None else pool.submit(beside)
        list(pool.map(lambda seed: run(project, str(seed), *limit), drawn))
        if other is not None:
            other.result()


def prepare(
    project: Clone, log: Log, source: str, given: Path | None, profile: str,
    stages: tuple[str, ...] = STAGES,
) -> None:  # fmt: skip
    """Bring stages up to date, with the settings of a preset.

    Raises:
        NotDoneError: a stage failed.
    """
    log(f"preparing {source}")
    place = [f"--from={given.resolve()}"] if given is not None else []
    configured = project.decant("configure", f"--source={source}", f"--profile={profile}", *place)
    if configured.status:
        raise NotDoneError(configured.error)
    for stage in stages:
        if project.show("-m", "dvc", "repro", "--quiet", stage):
            raise NotDoneError(f"the stages up to `{stage}` failed, see above")


def run(project: Clone, *arguments: str, program: str = "benchmarks.experiments.teachers") -> None:
    """Run a program that trains and ranks.

    Raises:
        NotDoneError: it did not complete.
    """
    status = project.show("-m", program, *arguments)
    if status == NOT_DONE:
        raise NotDoneError("time is up; rerun the same command to resume")
    if status:
        raise NotDoneError(f"training ended with status {status}, see above")


def outcome_of(project: Clone, seeds: list[int], source: str, profile: str) -> Outcome:
    """Figures from the results of the training program."""
    folder, params = project.root / TEACHERS, project.read("params.yaml")
    measured = read(folder / f"{BASELINES}.json")
    models = measured["models"]
    teachers = {seed: read(folder / f"{teacher_name(seed)}.json") for seed in seeds}
    both = {**models, **{f"{TEACHER}.seed.{s}": t for s, t in teachers.items()}}
    members = range(1, params[TEACHER]["ensemble"] + 1)
    for number in members:
        both[f"{TEACHER}.{ALONE}.{number}"] = read(folder / f"{member_name(number)}.json")
    if len(seeds) > 1:
        for together in (ENSEMBLE, ALONE) if members else (ENSEMBLE,):
            both[f"{TEACHER}.{together}"] = read(folder / f"{together}.json")
    best, k = best_baseline(measured["metrics"]), measured["metrics"]["k"]
    outcome = Outcome(protocol(params, measured["metrics"], teachers, source, profile, best), seeds)
    for name, model in both.items():
        shown = name if name.startswith(TEACHER) else f"baseline.{name}"
        for metric, values in per_user(model[TEST], k).items():
            outcome.figures[f"{shown}.{metric}@{k}"] = with_interval([values])
        value = per_user(model[VALIDATION], k)["ndcg"].mean()
        outcome.measured(f"{shown}.validation.ndcg@{k}", float(value))
    of_seeds = [per_user(t[TEST], k) for t in teachers.values()]
    for metric in METRICS:
        outcome.figures[f"{TEACHER}.{metric}@{k}"] = with_interval([f[metric] for f in of_seeds])
    quality = [float(scores["ndcg"].mean()) for scores in of_seeds]
    if len(quality) > 1:
        outcome.measured(f"{TEACHER}.ndcg@{k}.spread", float(np.std(quality, ddof=1)), len(quality))
    if best is not None:
        bar = per_user(models[best][TEST], k)["ndcg"]
        outcome.figures[f"baseline.best.ndcg@{k}"] = with_interval([bar])
        outcome.figures[f"{TEACHER}.lift"] = lift([f["ndcg"] for f in of_seeds], bar)
    seconds = sum(t["seconds"] for t in teachers.values())
    events = sum(t["events"] for t in teachers.values())
    outcome.measured(f"{TEACHER}.seconds", round(seconds / len(seeds), 1), len(seeds))
    outcome.measured("training.events_per_s", round(events / max(seconds, 1e-9), 1))
    outcome.shown = table(outcome.figures, k)
    return outcome


def read(path: Path) -> dict[str, Any]:
    """A JSON file's content."""
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return result


def per_user(window: dict[str, list[int]], k: int) -> dict[str, np.ndarray]:
    """Each metric's mean for every user, float [V]."""
    users, ranks = np.array(window["users"]), np.array(window["ranks"])
    return {name: user_means(metric(ranks, k), users)[1] for name, metric in METRICS.items()}


def draws(users: int) -> np.ndarray:
    """Weight of each user in each resample, float [R, V]; the same for every model."""
    rng = np.random.default_rng(0)
    return rng.multinomial(users, np.full(users, 1 / users), RESAMPLES) / users


def with_interval(of_seeds: list[np.ndarray]) -> Figure:
    """Mean over seeds and users, with an interval by resampling users."""
    values = np.mean(of_seeds, axis=0)
    low, high = np.quantile(draws(len(values)) @ values, [0.025, 0.975])
    return {
        "value": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)
    }  # fmt: skip


def lift(of_seeds: list[np.ndarray], bar: np.ndarray) -> Figure:
    """Relative gain over `bar`, with a paired bootstrap over users."""
    ours, weights = np.mean(of_seeds, axis=0), draws(len(bar))
    low, high = np.quantile(weights @ ours / (weights @ bar) - 1, [0.025, 0.975])
    value = float(ours.mean() / bar.mean() - 1)
    return {"value": value, "low": float(low), "high": float(high), "n": len(bar)}


def protocol(
    params: dict[str, Any], metrics: dict[str, Any], teachers: dict[int, Any], source: str,
    profile: str, best: str | None,
) -> dict[str, str]:  # fmt: skip
    """Description of the protocol."""
    split, first = params["split"], next(iter(teachers.values()))
    held = {
        "leave-one-out": "the last item of each user is the test, the one before validation",
        "time": f"the last {split['test']:.0%} of the events are the test, the "
        f"{split['validation']:.0%} before them validation",
    }
    seen = "items of the history are excluded" if params["features"]["exclude_seen"] else "all"
    teacher = params[TEACHER]
    alone = {
        ALONE: f"{teacher['ensemble']} ensemble members, and the mean of their probabilities, "
        "from which the teachers of all seeds were distilled"
    } if teacher["ensemble"] else {}  # fmt: skip
    shown = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
             "learning_rate", "objective")  # fmt: skip
    return {
        "data": f"{source}, {metrics['catalogue']:,} items, "
        f"{metrics['groups']['all']['users']:,} users; {held[split['method']]}; "
        f"histories of {params['features']['max_length']} events",
        "ranked": f"the whole catalogue ({seen}), ties against the model; mean over users",
        "chosen": "epochs on one half of the validation users, the best traditional model on all "
        "of them; test is ranked once per model",
        TEACHER: ", ".join(f"{name} {teacher[name]}" for name in shown)
        + f"; {first['parameters']:,} parameters, profile {profile}",
        "best traditional model": best or "unknown: one was not measured",
        "spread": "standard deviation over seeds",
        ENSEMBLE: "mean probability of the teachers of all seeds",
        **alone,
        "machine": f"{first['device']}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
    }


def table(figures: dict[str, Figure], k: int) -> str:
    """Test NDCG and HR of every model, best first."""
    end = f".ndcg@{k}"
    names = [n.removesuffix(end) for n in figures if n.endswith(end) and ".validation" not in n]
    names.sort(key=lambda name: -figures[name + end]["value"])
    width = max(map(len, names))
    lines = [f"{'test window'.ljust(width)}  NDCG@{k}   HR@{k}  NDCG@{k} on validation"]
    for name in names:
        cells = [figures.get(name + column) for column in (end, f".hr@{k}", f".validation{end}")]
        shown = [f"{c['value']:7.4f}" if c else " " * 7 for c in cells]
        lines.append("  ".join([name.ljust(width), *shown]).rstrip())
    return "\n".join(lines)
