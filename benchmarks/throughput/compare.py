"""Training against RecTools' SASRec: same CPU and data, alike in size, batches and schedule.

Speed and quality apart: events per second for each precision, both sides in turn; then NDCG@10
after the same number of optimizer steps.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.experiments.data_sets import Log, lift, prepare, with_interval
from benchmarks.harness.checkout import Clone
from decant.evaluation.metrics import ndcg
from decant.features.holdout import in_selection
from decant.features.sequences import VALIDATION, Cases, Sequences, cases, training_events
from decant.report.results import Figure, Outcome
from decant.starter import tied
from decant.training.optimizer import BETAS, make_schedule
from decant.training.step import CLIP

SOURCE = "movielens-1m"
STAGES = ("fingerprint", "embed")  # a training reads what they make
PINS = ("rectools[torch]==0.19.0", "torch==2.13.0", "numpy<2", "pandas<3")
THEIRS = Path(__file__).with_name("rectools_sasrec.py")
SIZE = {"dimension": 128, "layers": 2, "heads": 2, "dropout": 0.2}
COMMON = {"batch_size": 16, "learning_rate": 0.002, "weight_decay": 0.01}
THREADS = 1  # single-threaded training is least disturbed by other load
SEED = 1
PRECISIONS = ("float32", "bfloat16")
RANKED = "float32"  # precision of the models whose quality is compared: the same on every CPU
ROUNDS = 3
ROUND_SECONDS = 40.0
STEPS = 1600  # of each side's training for quality: about three passes over the events
K = 10
OURS, RECTOOLS = "training.equal_steps", "training.equal_steps.rectools"

Program = Callable[..., dict[str, Any]]
Speeds = dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]  # by precision: ours, theirs


class ComparisonError(ValueError):
    """A measured program failed."""


def bench(
    project: Clone, log: Log, *, given: Path | None, minutes: float | None,
    protocol: str | None = None,
) -> Outcome:  # fmt: skip
    """Measure the speed of both in turn, then the quality of both after equally many steps.

    Args:
        minutes: as many steps as the slower side takes in that time, none for 0; None: `STEPS`.
    """
    prepare(project, log, SOURCE, given, "quick", STAGES, protocol)
    python = environment(project, log)
    folder = project.root / ".decant" / "beside-rectools"
    folder.mkdir(parents=True, exist_ok=True)
    sequences, length = write_inputs(project, folder)
    settings = folder.relative_to(project.root)

    def ours(precision: str, amount: float, *options: str) -> dict[str, Any]:
        place = str(settings / f"ours-{precision}.json")
        program = [sys.executable, "-m", "benchmarks.throughput.step_profile"]
        return ask([*program, place, f"{amount:g}", *options], project.root)

    def theirs(precision: str, amount: float, *options: str) -> dict[str, Any]:
        return ask([str(python), str(THEIRS), ".", precision, f"{amount:g}", *options], folder)

    outcome = Outcome(protocol_of(length, protocol), [SEED])
    speeds = in_turn(ours, theirs, log)
    add_speeds(outcome, speeds)
    log("profiling a step")
    for precision in PRECISIONS:
        add_parts(outcome, precision, ours(precision, ROUND_SECONDS, "--parts"))
    if steps := steps_in(minutes, speeds):
        log(f"{steps:,} steps of training each")
        write_schedule(folder, steps)
        answers = [side(RANKED, steps, "--rank") for side in (ours, theirs)]
        add_quality(outcome, sequences, np.load(folder / "top.npy"), *answers)
        outcome.trained["ours"] = answers[0]["record"]
    outcome.shown = table(outcome.figures)
    return outcome


def environment(project: Clone, log: Log) -> Path:
    """The Python of an environment with RecTools, created if missing.

    Raises:
        ComparisonError: it cannot be installed.
    """
    folder = project.root.parent / "rectools"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.is_file():
        log("installing RecTools into a separate environment; some minutes")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [*pip, *PINS]):
            done = subprocess.run(tied(command), capture_output=True, text=True, check=False)
            if done.returncode:
                raise ComparisonError(f"RecTools cannot be installed: {done.stderr.strip()[-300:]}")
        ready.touch()
    return python


def write_inputs(project: Clone, folder: Path) -> tuple[Sequences, int]:
    """Write training events for RecTools and settings for both; return sequences and length."""
    sequences = Sequences.load(project.root / "data" / "features" / "sequences")
    length = int(project.read("params.yaml")["features"]["max_length"])
    users = np.repeat(np.arange(sequences.users), np.asarray(sequences.split[:, 0]))
    np.save(folder / "users.npy", users)
    np.save(folder / "items.npy", np.asarray(sequences.items)[training_events(sequences)])
    ours = {**SIZE, **COMMON, "threads": THREADS, "inputs": ["item"], "seed": SEED}
    theirs = {
        "model": {
            "n_factors": SIZE["dimension"], "n_blocks": SIZE["layers"], "n_heads": SIZE["heads"],
            "dropout_rate": SIZE["dropout"], "session_max_len": length, "loss": "softmax",
            "batch_size": COMMON["batch_size"], "lr": COMMON["learning_rate"],
        },
        "weight_decay": COMMON["weight_decay"], "betas": BETAS, "clip": CLIP,
        "threads": THREADS, "seed": SEED,
    }  # fmt: skip
    for precision in PRECISIONS:
        text = json.dumps({**ours, "precision": precision})
        (folder / f"ours-{precision}.json").write_text(text, encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(theirs), encoding="utf-8")
    write_schedule(folder, STEPS)
    return sequences, length


def write_schedule(folder: Path, steps: int) -> None:
    """Write the learning rate of each step, as a multiple of the peak, for RecTools."""
    np.save(folder / "schedule.npy", schedule(steps))


def schedule(steps: int) -> np.ndarray:
    """Our learning rate at each of `steps` steps, as a multiple of the peak, float [steps]."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    planned = make_schedule(optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        planned.step()
    return np.array(rates)


def ask(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a program and return the JSON document it prints last.

    Raises:
        ComparisonError: it failed.
    """
    environ = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        tied(command), cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ComparisonError(f"{' '.join(command[1:3])}: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def in_turn(ours: Program, theirs: Program, log: Log) -> Speeds:
    """What both did in a round, in alternation over several rounds, for each precision."""
    speeds: Speeds = {precision: [] for precision in PRECISIONS}
    for number in range(ROUNDS):
        for precision, rounds in speeds.items():
            pair = ours(precision, ROUND_SECONDS), theirs(precision, ROUND_SECONDS)
            rounds.append(pair)
            shown = " and ".join(f"{per_second(side):,.0f}" for side in pair)
            log(f"round {number + 1} of {ROUNDS}, {precision}: {shown} events per second")
    return speeds


def per_second(answer: dict[str, Any]) -> float:
    """Events per second of one side's round."""
    return float(answer["events"] / answer["seconds"])


def steps_in(minutes: float | None, speeds: Speeds) -> int:
    """The number of steps for quality: what the slower side takes in `minutes`; None: `STEPS`."""
    if minutes is None:
        return STEPS
    seconds = max(side["seconds"] / side["steps"] for pair in speeds[RANKED] for side in pair)
    return int(60 * minutes / seconds)


def add_speeds(outcome: Outcome, speeds: Speeds) -> None:
    """Events per second and their ratio: median, minimum and maximum over rounds."""
    for precision, rounds in speeds.items():
        pairs = [(per_second(ours), per_second(theirs)) for ours, theirs in rounds]
        measurements = {
            "training.events_per_s": [ours for ours, _ in pairs],
            "training.events_per_s.rectools": [theirs for _, theirs in pairs],
            "training.events_per_s.ratio": [ours / theirs for ours, theirs in pairs],
        }
        for name, values in measurements.items():
            outcome.figures[f"{name}.{precision}"] = {
                "value": float(np.median(values)), "low": min(values), "high": max(values),
                "n": len(values),
            }  # fmt: skip


def add_parts(outcome: Outcome, precision: str, profile: dict[str, Any]) -> None:
    """Profile of our training step, and its share of the machine's peak in this precision."""
    for part, share in profile["parts"].items():
        outcome.measured(f"training.time.{part}.{precision}", share)
    outcome.measured(f"training.gflops.{precision}", profile["gflops"])
    peak = profile["peak"][precision]
    outcome.measured(f"training.peak.gflops.{precision}", peak)
    outcome.measured(f"training.share_of_peak.{precision}", profile["gflops"] / peak)


def add_quality(
    outcome: Outcome, sequences: Sequences, top: np.ndarray, ours: dict[str, Any],
    theirs: dict[str, Any],
) -> None:  # fmt: skip
    """NDCG@10 of both after equally many steps, on the decision half of the validation users.

    Args:
        top: RecTools' best items of every user, int [U, 10].

    Raises:
        ComparisonError: one side took another number of steps.
    """
    if ours["steps"] != theirs["steps"]:
        raise ComparisonError(f"{ours['steps']:,} steps against RecTools' {theirs['steps']:,}")
    chosen = cases(sequences, VALIDATION, 1)
    deciding = ~in_selection(chosen.user)
    ranks = (np.array(ours["ranks"]), ranks_in(top, sequences, chosen))
    mine, other = (ndcg(of_cases, K)[deciding] for of_cases in ranks)
    outcome.figures[f"{OURS}.ndcg@{K}"] = with_interval([mine])
    outcome.figures[f"{RECTOOLS}.ndcg@{K}"] = with_interval([other])
    if other.any():
        outcome.figures[f"{OURS}.gain"] = lift([mine], other)
    for name, answer in ((OURS, ours), (RECTOOLS, theirs)):
        for measure in ("steps", "events", "parameters"):
            outcome.measured(f"{name}.{measure}", answer[measure])
        outcome.measured(f"{name}.seconds", round(answer["trained"], 1))


def ranks_in(top: np.ndarray, sequences: Sequences, chosen: Cases) -> np.ndarray:
    """Rank of each case's target in its user's list [U, 10]; 11 if it is missing."""
    hits = top[chosen.user] == np.asarray(sequences.items)[chosen.position][:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, top.shape[1] + 1)


def protocol_of(length: int, protocol: str | None) -> dict[str, str]:
    """Description of the method; `protocol`: that of the data."""
    size, common = (
        ", ".join(f"{name} {value}" for name, value in values.items()) for values in (SIZE, COMMON)
    )
    published = f", protocol {protocol}" if protocol else ""
    return {
        "data": f"{SOURCE}{published}, histories of {length} events, only training events",
        "both": f"{size}, only item ids, full softmax; {common}, AdamW with betas {BETAS}, no "
        f"decay of biases, norms and embeddings, gradients clipped at {CLIP:g}, a linear warm-up "
        "and a linear decay to a twentieth over all steps; the same precision; one thread",
        "ours": "windows of all training events, padded to the longest of a batch",
        "rectools": f"{PINS[0]}, SASRecModel, else its defaults: the newest events of each user, "
        "padded to the full length",
        "events": "predicted positions without padding; the first steps are not timed",
        "training.events_per_s": f"median of {ROUNDS} rounds of {ROUND_SECONDS:g} s, both in turn; "
        "the interval is minimum and maximum",
        "training.time": "share of a step: building the batch, states, loss over the catalogue "
        "with its gradient, backward pass through the states, update",
        "training.share_of_peak": "matrix products of a step, by formula, ÷ measured peak",
        "equal_steps": f"as many optimizer steps of both, in {RANKED}; the last weights; NDCG@{K} "
        "on the decision half of the validation users; gain: relative, paired by user",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
    }


def table(figures: dict[str, Figure]) -> str:
    """Both results side by side."""
    rows = {
        f"events per second, {precision}": [
            f"training.events_per_s{side}.{precision}" for side in ("", ".rectools")
        ]
        for precision in PRECISIONS
    }
    steps = figures.get(f"{OURS}.steps", {"value": 0})["value"]
    rows[f"NDCG@{K} after {steps:,.0f} steps"] = [f"{n}.ndcg@{K}" for n in (OURS, RECTOOLS)]
    lines = [f"{'':32}{'Decant':>10}{'RecTools':>10}"]
    for shown, names in rows.items():
        pair = [figures[name] for name in names if name in figures]
        if len(pair) == len(names):
            lines.append(f"{shown:32}" + "".join(f"{cell['value']:>10,.4g}" for cell in pair))
    return "\n".join(lines)
