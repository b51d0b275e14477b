"""Training speed against RecTools' SASRec: same CPU, same data, models of equal size."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments import data_sets
from benchmarks.experiments.data_sets import Log, prepare
from benchmarks.harness.checkout import Clone
from decant.evaluation.metrics import ndcg
from decant.features.holdout import in_selection
from decant.features.sequences import VALIDATION, Sequences, cases, training_events
from decant.report.results import Figure, Outcome
from decant.starter import tied

SOURCE = "movielens-1m"
STAGES = ("fingerprint", "embed")  # a training reads what they make
PINS = ("rectools[torch]==0.19.0", "torch==2.13.0", "numpy<2", "pandas<3")
THEIRS = Path(__file__).with_name("rectools_sasrec.py")
SIZE = {"dimension": 128, "layers": 2, "heads": 2, "dropout": 0.2}
OURS = {"batch_size": 16, "learning_rate": 0.002}
BATCH = 128  # RecTools' default, as its learning rate
THREADS = 1  # single-threaded training is least disturbed by other load
ROUNDS = 3
ROUND_SECONDS = 40.0
MINUTES = 10.0  # of training, for quality after equal time


class ComparisonError(ValueError):
    """A measured program failed."""


def bench(project: Clone, log: Log, *, given: Path | None, minutes: float | None) -> Outcome:
    """Measure the speed of both in turn, then the quality of both after equal time."""
    prepare(project, log, SOURCE, given, "quick", STAGES)
    python = environment(project, log)
    folder = project.root / ".decant" / "beside-rectools"
    folder.mkdir(parents=True, exist_ok=True)
    sequences, length = write_inputs(project, folder)

    def ours(seconds: float, *options: str) -> dict[str, Any]:
        place = str(folder.relative_to(project.root) / "ours.json")
        command = [
            sys.executable,
            "-m",
            "benchmarks.throughput.step_profile",
            place,
            f"{seconds:g}",
            *options,
        ]
        return ask(command, project.root)

    def theirs(seconds: float, *options: str) -> dict[str, Any]:
        return ask([str(python), str(THEIRS), str(folder), f"{seconds:g}", *options], folder)

    outcome = Outcome(protocol(length), [1])
    speeds = in_turn(ours, theirs, log)
    add_speeds(outcome, speeds)
    log("profiling a step")
    add_parts(outcome, ours(ROUND_SECONDS, "--parts"))
    limit = 60 * (MINUTES if minutes is None else minutes)
    if limit > 0:
        log(f"{limit / 60:g} minutes of training each")
        add_quality(outcome, project, sequences, folder, ours, theirs, limit)
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
    ours = {**SIZE, **OURS, "threads": THREADS, "inputs": ["item"], "seed": 1}
    theirs = {
        "n_factors": SIZE["dimension"], "n_blocks": SIZE["layers"], "n_heads": SIZE["heads"],
        "dropout_rate": SIZE["dropout"], "session_max_len": length, "loss": "softmax",
        "batch_size": BATCH, "threads": THREADS, "seed": 1,
    }  # fmt: skip
    (folder / "ours.json").write_text(json.dumps(ours), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(theirs), encoding="utf-8")
    return sequences, length


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
        raise ComparisonError(f"{Path(command[-2]).name}: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


Program = Callable[..., dict[str, Any]]


def in_turn(ours: Program, theirs: Program, log: Log) -> list[tuple[float, float]]:
    """Events per second of both, in alternation over several rounds."""
    speeds = []
    for number in range(ROUNDS):
        pair = [p["events"] / p["seconds"] for p in (ours(ROUND_SECONDS), theirs(ROUND_SECONDS))]
        log(f"round {number + 1} of {ROUNDS}: {pair[0]:,.0f} and {pair[1]:,.0f} events per second")
        speeds.append((pair[0], pair[1]))
    return speeds


def add_speeds(outcome: Outcome, speeds: list[tuple[float, float]]) -> None:
    """Events per second and their ratio: median, minimum and maximum over rounds."""
    measurements = {
        "training.events_per_s": [ours for ours, _ in speeds],
        "training.events_per_s.rectools": [theirs for _, theirs in speeds],
        "training.events_per_s.ratio": [ours / theirs for ours, theirs in speeds],
    }
    for name, values in measurements.items():
        outcome.figures[name] = {
            "value": float(np.median(values)), "low": min(values), "high": max(values),
            "n": len(values),
        }  # fmt: skip


def add_parts(outcome: Outcome, profile: dict[str, Any]) -> None:
    """Profile of our training step, and its share of the machine's peak."""
    for part, share in profile["parts"].items():
        outcome.measured(f"training.time.{part}", share)
    outcome.measured("training.gflops", profile["gflops"])
    for kind, speed in profile["peak"].items():
        outcome.measured(f"training.peak.{kind}.gflops", speed)
        outcome.measured(f"training.share_of_peak.{kind}", profile["gflops"] / speed)


def add_quality(
    outcome: Outcome, project: Clone, sequences: Sequences, folder: Path, ours: Program,
    theirs: Program, limit: float,
) -> None:  # fmt: skip
    """NDCG@10 of both after equal time, on the decision half of the validation users."""
    mine = ours(limit, "--rank")
    other = theirs(mine["trained"], "--rank")
    chosen = cases(sequences, VALIDATION, 1)
    deciding = ~in_selection(chosen.user)
    values = {
        "training.equal_time.ndcg@10": ndcg(np.array(mine["ranks"])[deciding], 10),
        "training.equal_time.rectools.ndcg@10": ndcg(
            ranks_in(np.load(folder / "top.npy"), sequences, chosen.user, chosen.position)[
                deciding
            ],
            10,
        ),
    }
    for name, of_users in values.items():
        outcome.figures[name] = data_sets.with_interval([of_users])
    outcome.measured("training.equal_time.seconds", round(mine["trained"], 1))
    outcome.measured("training.equal_time.rectools.seconds", round(other["trained"], 1))


def ranks_in(
    top: np.ndarray, sequences: Sequences, users: np.ndarray, position: np.ndarray
) -> np.ndarray:
    """Rank of each case's target in its user's list [U, 10]; 11 if it is missing."""
    hits = top[users] == np.asarray(sequences.items)[position][:, None]
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, top.shape[1] + 1)


def protocol(length: int) -> dict[str, str]:
    """Description of the protocol."""
    size = ", ".join(f"{name} {value}" for name, value in SIZE.items())
    return {
        "data": f"{SOURCE}, histories of {length} events, only training events",
        "models": f"both {size}, only item ids, full softmax; one thread",
        "ours": ", ".join(f"{name} {value}" for name, value in OURS.items()) + ", precision `auto`",
        "rectools": f"{PINS[0]}, SASRecModel with loss softmax, batch size {BATCH} and learning "
        "rate .001, its defaults, float32",
        "events": "predicted positions without padding; the first steps are not timed",
        "training.events_per_s": f"median of {ROUNDS} rounds of {ROUND_SECONDS:g} s, both in turn; "
        "the interval is minimum and maximum",
        "training.time": "share of a step: building the batch, states, loss over the catalogue "
        "with its gradient, backward pass through the states, update",
        "training.share_of_peak": "matrix products of a step, by formula, ÷ measured peak",
        "equal_time": "the same training time; NDCG@10 on the decision half of the validation "
        "users; our learning rate schedule completes",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
    }


def table(figures: dict[str, Figure]) -> str:
    """Both results side by side."""
    rows = {"events per second": "training.events_per_s", "NDCG@10 after equal time": "training."
            "equal_time"}  # fmt: skip
    lines = [f"{'':26}{'Decant':>10}{'RecTools':>10}"]
    for shown, name in rows.items():
        end = ".ndcg@10" if name.endswith("time") else ""
        pair = [figures.get(f"{name}{end}"), figures.get(f"{name}.rectools{end}")]
        if all(pair):
            cells = "".join(f"{cell['value']:>10,.4g}" for cell in pair if cell)
            lines.append(f"{shown:26}{cells}")
    return "\n".join(lines)
