"""Published data sets: traditional models, teacher and family over several seeds.

A run of the ordinary flow per seed; DVC's cache restores those that are done, so an interrupted
benchmark resumes.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.checkout import Clone, silent_on_test
from benchmarks.harness.demo_workspace import change_params
from benchmarks.provenance.trainings import Trainings, trainings
from decant.commands.presets import PRESET_GROUPS
from decant.commands.protocol import NONE
from decant.evaluation.baselines import NAMES
from decant.evaluation.baskets import METRICS as BASKET_METRICS
from decant.evaluation.intervals import paired_gain, ratio_draws
from decant.evaluation.metrics import hit, ndcg, user_means
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import TEACHER
from decant.report.baskets import best_for_baskets, with_family
from decant.report.formats import NO_BREAK
from decant.report.origin import split_words
from decant.report.results import Figure, Outcome
from decant.report.scores import FAMILY, served, serving

RESAMPLES = 2000
WINDOWS = {
    TEST: TEST,
    VALIDATION: "validation, with the users that epochs were selected and students accepted on",
}
CLASSES = {  # of models; figures of one class are not compared with those of the other
    False: "order: models read the order of events, and the time between them at most",
    True: "clock: the teacher reads the moment to recommend for",
}
METRICS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"ndcg": ndcg, "hr": hit}
Log = Callable[[str], None]


class NotDoneError(ValueError):
    """The benchmark ran out of time, or a step failed."""


@dataclass(frozen=True)
class FinishedRun:
    """One seed's run: `ranks` has user and rank of every case by model and window; `facts` is the
    summary of the teacher's training, `trained` the record of each. `baskets`: see `evaluate`, with
    the family as released; None without baskets."""

    ranks: dict[tuple[str, str], pd.DataFrame]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    facts: dict[str, Any]
    trained: Trainings = field(default_factory=dict)
    baskets: pd.DataFrame | None = None

    def per_user(self, model: str, window: str) -> dict[str, np.ndarray]:
        """Each metric's mean per user, float [V], in the order of the users."""
        rows = self.ranks[model, window]
        users, ranks = rows["user"].to_numpy(), rows["rank"].to_numpy()
        k = self.metrics["k"]
        return {
            name: user_means(of_ranks(ranks, k), users)[1] for name, of_ranks in METRICS.items()
        }

    def per_user_of_baskets(self, model: str, window: str) -> dict[str, np.ndarray]:
        """The same before baskets; empty without any."""
        if self.baskets is None:
            return {}
        rows = self.baskets[(self.baskets["model"] == model) & (self.baskets["window"] == window)]
        users = rows["user"].to_numpy()
        return {name: user_means(rows[name].to_numpy(), users)[1] for name in BASKET_METRICS}


def bench(
    project: Clone, log: Log, *, source: str, given: Path | None, profile: str, seeds: int,
    minutes: float | None, window: str, protocol: str | None = None,
) -> Outcome:  # fmt: skip
    """Run the flow once per seed and compare teacher and family with every traditional model.

    Args:
        window: the one that is ranked; the flow's lines about test are shown for that alone.

    Raises:
        NotDoneError: `minutes` have passed, or a step failed; the same command resumes.
    """
    prepare(project, log, source, given, profile, protocol=protocol)
    began, first = time.monotonic(), project.read("params.yaml")["seed"]
    runs = {}
    for seed in range(first, first + seeds):
        log(f"seed {seed}")
        change_params(project, {"seed": seed})
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        run_graph(project, left, window)
        runs[seed] = read_run(project.root)
    return outcome_of(runs, project.read("params.yaml"), source, profile, window)


def prepare(
    project: Clone, log: Log, source: str, given: Path | None, profile: str,
    stages: tuple[str, ...] = (), protocol: str | None = None, groups: str | None = None,
) -> None:  # fmt: skip
    """Apply the settings of a preset, and bring stages up to date; `groups`: of the preset, None:
    its students.

    Raises:
        NotDoneError: it cannot be configured, or a stage failed.
    """
    log(f"preparing {source}")
    place = [f"--from={given.resolve()}"] if given is not None else []
    options = (
        f"--source={source}",
        f"--profile={profile}",
        f"--protocol={protocol or NONE}",
        f"--groups={groups or PRESET_GROUPS}",
    )
    configured = project.decant("configure", *options, *place)
    if configured.status:
        raise NotDoneError(configured.error.rpartition("decant: error: ")[2])
    for stage in stages:
        if project.show("-m", "dvc", "repro", "--quiet", stage):
            raise NotDoneError(f"the stages up to `{stage}` failed, see above")


def run_graph(project: Clone, minutes: float | None, window: str) -> None:
    """Run the flow up to the gate, whether it passes or not.

    Args:
        window: `validation` hides what the flow says of test.

    Raises:
        NotDoneError: the gate was not reached.
    """
    if minutes is not None and minutes <= 0:
        raise NotDoneError("time is up; rerun the same command to resume")
    shown = None if window == TEST else silent_on_test
    flow = ("-m", "flows.retrain", "--no-promote")
    status = project.show(*flow, minutes=minutes, shown=shown)
    if "up to date" not in project.run("-m", "dvc", "status", "gate").output:
        raise NotDoneError(
            f"the flow ended with status {status}, see above; once that is mended, the same "
            "command resumes"
        )


def read_run(root: Path) -> FinishedRun:
    """Read the outputs of a finished run, with the ranks of the family as released."""
    data = root / "data"
    verdict = read(data / "gate" / "verdict.json")
    frame = pd.read_parquet(data / "evaluation" / "cases.parquet")
    students = serving(verdict)
    members = {
        segment: np.load(data / "segments" / f"{segment}.npy", allow_pickle=False)
        for segment in students
    }
    groups = pd.concat(
        [pd.Series(segment, users) for segment, users in members.items()] or [pd.Series(dtype=str)]
    )
    baskets = data / "evaluation" / "baskets.parquet"
    frame = pd.concat([frame, served(frame, groups, students)])
    ranks = {
        (str(model), str(window)): rows[["user", "rank"]]
        for (model, window), rows in frame.groupby(["model", "window"])
    }
    return FinishedRun(
        ranks,
        read(data / "evaluation" / "metrics.json"),
        verdict,
        read(data / "models" / TEACHER / "summary.json"),
        trainings(root),
        with_family(pd.read_parquet(baskets), verdict, members) if baskets.is_file() else None,
    )


def outcome_of(
    runs: dict[int, FinishedRun], params: dict[str, Any], source: str, profile: str, window: str
) -> Outcome:
    """Figures of the runs by seed on a window; traditional models are those of the first."""
    first = next(iter(runs.values()))
    k, best = first.metrics["k"], first.verdict.get("best_baseline")
    outcome = Outcome(protocol(runs, params, source, profile, window), list(runs))
    for seed, run in runs.items():
        outcome.trained |= {f"{name}.seed.{seed}": made for name, made in run.trained.items()}
    for model in sorted({name for name, _ in first.ranks} & {*NAMES}):
        add_model(outcome, f"baseline.{model}", [first], model, window)
    for model in (TEACHER, FAMILY):
        add_model(outcome, model, list(runs.values()), model, window)
        for seed, run in runs.items():
            add_model(outcome, f"{model}.seed.{seed}", [run], model, window)
        quality = [float(run.per_user(model, window)["ndcg"].mean()) for run in runs.values()]
        if len(quality) > 1:
            spread = float(np.std(quality, ddof=1))
            outcome.measured(f"{model}.ndcg@{k}.spread", spread, len(quality))
        if best is not None:
            bar = first.per_user(best, window)["ndcg"]
            ours = [run.per_user(model, window)["ndcg"] for run in runs.values()]
            outcome.figures[f"{model}.lift"] = lift(ours, bar)
    taught, teaching = (
        [run.per_user(model, window)["ndcg"] for run in runs.values()]
        for model in (FAMILY, TEACHER)
    )
    outcome.figures["family.retention"] = ratio(taught, np.mean(teaching, axis=0))
    if best is not None:
        bar = first.per_user(best, window)["ndcg"]
        outcome.figures[f"baseline.best.ndcg@{k}"] = with_interval([bar])
    if first.baskets is not None and (bar_name := best_for_baskets(first.baskets, [*NAMES])):
        add_baskets(outcome, list(runs.values()), bar_name, window)
    for seed, run in runs.items():
        segments = run.verdict["segments"]
        accepted = sum(segment["ships"] for segment in segments.values())
        outcome.measured(f"accepted.seed.{seed}", accepted, len(segments))
    outcome.shown = table(outcome.figures, k, window)
    return outcome


def add_baskets(outcome: Outcome, runs: list[FinishedRun], best: str, window: str) -> None:
    """The family before baskets over the best traditional model there, chosen on validation."""
    k, metric = runs[0].metrics["k"], BASKET_METRICS[0]
    bar = runs[0].per_user_of_baskets(best, window)[metric]
    ours = [run.per_user_of_baskets(FAMILY, window)[metric] for run in runs]
    outcome.figures["family.basket_lift"] = lift(ours, bar)
    outcome.figures[f"baseline.best.{metric}@{k}"] = with_interval([bar])
    outcome.protocol["best traditional model before baskets"] = best


def add_model(
    outcome: Outcome, name: str, runs: list[FinishedRun], model: str, window: str
) -> None:
    """NDCG and HR on a window with their intervals; beside those of test, NDCG on validation."""
    k = runs[0].metrics["k"]
    ranked = [run.per_user(model, window) for run in runs]
    for metric in METRICS:
        values = [of_run[metric] for of_run in ranked]
        outcome.figures[f"{name}.{metric}@{k}"] = with_interval(values)
    of_baskets = [run.per_user_of_baskets(model, window) for run in runs]
    for metric in of_baskets[0]:
        values = [of_run[metric] for of_run in of_baskets]
        outcome.figures[f"{name}.{metric}@{k}"] = with_interval(values)
    if window == TEST:
        add_validation(outcome, name, runs, model)


def add_validation(outcome: Outcome, name: str, runs: list[FinishedRun], model: str) -> None:
    """NDCG on validation."""
    k = runs[0].metrics["k"]
    values = [run.per_user(model, VALIDATION)["ndcg"].mean() for run in runs]
    outcome.measured(f"{name}.validation.ndcg@{k}", float(np.mean(values)))


def read(path: Path) -> dict[str, Any]:
    """The content of a JSON file."""
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def with_interval(seed_values: list[np.ndarray]) -> Figure:
    """Mean over seeds and users; the interval is by resampling users."""
    values = np.mean(seed_values, axis=0)
    mean = paired_gain(values, np.zeros_like(values), RESAMPLES, 0)
    return {"value": mean.gain, "low": mean.low, "high": mean.high, "n": mean.n}


def lift(seed_values: list[np.ndarray], bar: np.ndarray) -> Figure:
    """Relative gain over the bar."""
    share = ratio(seed_values, bar)
    low, value, high = (float(share[part] or 0) - 1 for part in ("low", "value", "high"))
    return {"value": value, "low": low, "high": high, "n": share["n"]}


def ratio(seed_values: list[np.ndarray], below: np.ndarray) -> Figure:
    """Mean ÷ mean; users are resampled for both together."""
    ours = np.mean(seed_values, axis=0)
    ratios = ratio_draws(ours, below, RESAMPLES, 0)
    low, high = np.quantile(ratios, [0.025, 0.975])
    value = float(ours.mean() / below.mean())
    return {"value": value, "low": float(low), "high": float(high), "n": len(below)}


def protocol(
    runs: dict[int, FinishedRun], params: dict[str, Any], source: str, profile: str, window: str
) -> dict[str, str]:
    """Description of the protocol."""
    first, split, teacher = next(iter(runs.values())), params["split"], params[TEACHER]
    metrics = first.metrics
    held = split_words(split).replace(NO_BREAK, " ")
    seen = "items of the history are left out" if params["features"]["exclude_seen"] else "all"
    shown = ("dimension", "layers", "heads", "dropout", "inputs", "epochs", "batch_size",
             "learning_rate", "objective", "ensemble")  # fmt: skip
    return {
        "data": f"{source}{under(params)}, {metrics['catalogue']:,} items, "
        f"{metrics['groups']['all']['users']:,} users; {held}; "
        f"histories of {params['features']['max_length']} events",
        "window": WINDOWS[window],
        "ranked": f"the whole catalogue ({seen}), ties against the model; mean over users",
        "selected": "epochs by one half of the validation users; the other half decides which "
        "students are accepted and which traditional model is the best",
        TEACHER: ", ".join(f"{name} {teacher[name]}" for name in shown)
        + f"; {first.facts['parameters']:,} parameters, profile {profile}",
        FAMILY: "as the gate would release it: pruned, in int8, each user served by their student",
        "class": CLASSES[bool((first.facts.get("experts") or {}).get("clock"))],
        "best traditional model": str(first.verdict.get("best_baseline")),
        "spread": "standard deviation over seeds",
        "accepted": "students of groups that the gate accepts, of n",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
    }


def under(params: dict[str, Any]) -> str:
    """The protocol of the settings, for behind the name of the data."""
    return f", protocol {params['ingest']['protocol']}" if params["ingest"]["protocol"] else ""


def table(figures: dict[str, Figure], k: int, window: str) -> str:
    """NDCG and HR of every model on a window, best first; beside test, NDCG on validation."""
    end = f".ndcg@{k}"
    names = [n.removesuffix(end) for n in figures if n.endswith(end) and ".validation" not in n]
    names.sort(key=lambda name: -figures[name + end]["value"])
    width = max(map(len, names))
    beside = f"  NDCG@{k} on validation" if window == TEST else ""
    lines = [f"{f'{window} window'.ljust(width)}  NDCG@{k}   HR@{k}{beside}"]
    for name in names:
        cells = [figures.get(name + column) for column in (end, f".hr@{k}", f".validation{end}")]
        shown = [f"{c['value']:7.4f}" if c else " " * 7 for c in cells]
        lines.append("  ".join([name.ljust(width), *shown]).rstrip())
    return "\n".join(lines)
