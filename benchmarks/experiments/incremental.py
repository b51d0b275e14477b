"""Daily updates: training from scratch on all events, against fine-tuning yesterday's teacher.

Each day's teacher is evaluated on the following day. The new data are the events of one day,
including those of new items and users.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.modalities import RESAMPLES, TEACHER, per_user
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import MORE_USERS, ShopError, change_params
from decant.evaluation.intervals import paired_gain
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import rank
from decant.features.encode import Encoder
from decant.features.holdout import decision_cases
from decant.features.sequences import TEST, Sequences, ranges
from decant.report.results import Figure, Outcome, plain
from decant.training.state import Report
from tasks.runner.training_record import training_record

DAYS = 4  # updates, after the first training
SECONDS = 86400.0
EPOCHS = {"anew": 15, "warm": 1, "stale": 0}
RATES = {"anew": 0.003, "warm": 0.001, "stale": 0.0}
K, PER_USER, SEED = 10, 4, 1
STAGES = ("raw", "ingest", "validate", "features", "embed")


def bench(project: Clone, log: Callable[[str], None], *, window: str) -> Outcome:
    """Prepare the demo's features in the clone, then measure its last days.

    Args:
        window: `validation` ends before the test window.
    """
    change_params(project, MORE_USERS)
    for stage in STAGES:
        ended = project.run("-m", f"tasks.{stage}")
        if ended.status:
            raise ShopError(f"{stage} failed: {ended.error}")
    log(f"{DAYS} days, {len(EPOCHS)} variants each; some minutes")
    program = ("-m", "benchmarks.experiments.incremental")
    measured = project.run(*program, str(project.root / "data"), window)
    if measured.status:
        raise ShopError(f"the measurement failed: {measured.error}")
    answer = json.loads(measured.output.splitlines()[-1])
    return Outcome(protocol(window), [SEED], answer["figures"], trained=answer["trained"])


def protocol(window: str) -> dict[str, Any]:
    """Description of the protocol."""
    variants = ", ".join(
        f"{name} {epochs} epochs at {RATES[name]}" for name, epochs in EPOCHS.items()
    )
    shape = {
        name: value for name, value in TEACHER.items() if name not in ("epochs", "learning_rate")
    }
    return {
        "window": "test" if window == TEST else "validation: the days before the test window",
        "shop": f"the demo shop with {MORE_USERS['raw']['users']} users, its last {DAYS + 1} days",
        "teacher": ", ".join(f"{name} {value}" for name, value in shape.items()),
        "ways": f"{variants}; `warm` starts from its teacher of the previous day, with "
        "the same hashing and reduction of text every day; `stale` is the first day's teacher "
        "without updates",
        "cases": f"the events of the following day, at most {PER_USER} per user; half of the "
        "users select the epoch, the other half is measured",
        "figures": f"NDCG@{K}, mean per user; `gain` over training from scratch (`anew`); `cost`: "
        "training predictions and seconds ÷ those of `anew`",
    }


def until(sequences: Sequences, now: float) -> Sequences:
    """The events known at `now` (seconds), with the following day as validation window."""
    times = np.asarray(sequences.times)
    user = np.repeat(np.arange(sequences.users), np.diff(sequences.offsets))
    before = [
        np.bincount(user[times < end], minlength=sequences.users) for end in (now, now + SECONDS)
    ]
    return replace(sequences, split=np.stack(before, axis=1))


def last_day(sequences: Sequences, window: str) -> float:
    """The begin of a window's last day, in seconds, which ends what is measured."""
    times = np.asarray(sequences.times)
    if window != TEST:
        start = np.asarray(sequences.offsets[:-1])
        times = times[ranges(start, start + np.asarray(sequences.split[:, 1]))]
    return float(np.floor(times.max() / SECONDS) * SECONDS)


def measure(data: Path, window: str) -> dict[str, Any]:
    """All figures by dotted name, and the trainings; `data`: the folder of the stages' outputs."""
    encoder = Encoder.load(data / "features" / "encoder.json")
    sequences = Sequences.load(data / "features" / "sequences")
    vectors = {"text": np.load(data / "vectors" / "text.npy")}
    last = last_day(sequences, window)
    quality: dict[str, list[np.ndarray]] = {name: [] for name in EPOCHS}
    spent: dict[str, list[tuple[int, float]]] = {name: [] for name in EPOCHS}
    reports: dict[str, list[Report]] = {name: [] for name in EPOCHS}
    before = until(sequences, last - (DAYS + 1) * SECONDS)
    first, report = teach(encoder, before, vectors, "anew", None)
    weights = dict.fromkeys(EPOCHS, first.state_dict())
    reports["stale"].append(report)
    for day in range(1, DAYS + 1):
        known = until(sequences, last - (DAYS + 1 - day) * SECONDS)
        for variant in EPOCHS:
            began = time.monotonic()
            model, report = teach(encoder, known, vectors, variant, weights[variant])
            weights[variant] = model.state_dict()
            spent[variant].append((report.events, time.monotonic() - began))
            reports[variant] += [report] if report.events else []
            quality[variant].append(judge(encoder, known, model))
            print(f"day {day}: {variant}", flush=True)
    trained = {name: training_record(Path(), made) for name, made in reports.items()}
    return {"figures": figures(quality, spent), "trained": trained}


def teach(
    encoder: Encoder, known: Sequences, vectors: dict[str, np.ndarray], variant: str, start: Any
) -> tuple[Any, Report]:
    """A day's teacher, and the report of its training."""
    from decant.distillation.fit import fit, new_model
    from decant.params.models import Training
    from decant.training.loop import Plan
    from decant.training.supervision import Material

    settings = Training.model_validate({**TEACHER, "inputs": ["item", "text", "behaviour"]})
    material = Material(encoder, known, vectors, None, PER_USER)
    model = new_model(material, settings, SEED)
    if variant != "anew":
        model.load_state_dict(start)
    if not EPOCHS[variant]:
        return model.eval(), Report()
    return model, fit(model, material, settings, Plan(EPOCHS[variant], RATES[variant], SEED))


def judge(encoder: Encoder, known: Sequences, model: Any) -> np.ndarray:
    """NDCG@K of each user on the following day, float [U], NaN for users without events."""
    from decant.training.validate import TorchScorer

    chosen = decision_cases(known, PER_USER)
    ranking = rank(
        TorchScorer(model),
        known,
        chosen,
        len(encoder.items),
        k=K,
        exclude_seen=encoder.exclude_seen,
    )
    return per_user(ndcg(ranking.ranks, K), chosen, known.users)


def figures(
    quality: dict[str, list[np.ndarray]], spent: dict[str, list[tuple[int, float]]]
) -> dict[str, Figure]:
    """All figures by dotted name."""
    measured: dict[str, Figure] = {}
    anew = np.stack(quality["anew"])
    for variant, days in quality.items():
        mean = np.stack(days)
        known = ~np.isnan(mean).all(axis=0)
        for name, values in (("ndcg@10", mean), ("gain", mean - anew)):
            each = np.nanmean(values[:, known], axis=0)
            gain = paired_gain(each, np.zeros_like(each), RESAMPLES, SEED)
            measured[f"{variant}.{name}"] = {
                "value": gain.gain, "low": gain.low, "high": gain.high, "n": gain.n,
            }  # fmt: skip
        for day, values in enumerate(days, start=1):
            value = float(np.nanmean(values))
            measured[f"{variant}.day{day}.ndcg@10"] = plain(value, int((~np.isnan(values)).sum()))
        total, whole = (np.sum(spent[name], axis=0) for name in (variant, "anew"))
        measured[f"{variant}.cost.predictions"] = plain(float(total[0] / whole[0]), len(days))
        measured[f"{variant}.cost.seconds"] = plain(float(total[1] / whole[1]), len(days))
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
