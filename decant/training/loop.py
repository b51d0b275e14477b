"""The training loop of the teacher and all students."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from tqdm import tqdm

from decant.features.sequences import Sequences, training_counts
from decant.models.cold_start import reset_untrained
from decant.models.recommender import Architecture, Recommender
from decant.params.models import Distill, Training
from decant.training.batches import shuffled_batches
from decant.training.checkpoint import Checkpoints, TimeUpError, key_of, resume, save_progress
from decant.training.device import arithmetic, block_of
from decant.training.state import Progress, Report, TrainState, copied, make_state, total_of
from decant.training.step import take_step
from decant.training.supervision import Supervision

BAR_EVERY = 5.0  # seconds between updates of the progress bar

Log = Callable[[str], None]
OnEpoch = Callable[[int, float], None]


@dataclass(frozen=True)
class Plan:
    """Length, learning rate, seed and outputs of a training.

    `keep_start`: the initial model is a candidate for the best epoch too (epoch -1). `log`: called
    with a line after each epoch; also shows a progress bar on stderr. `checkpoints`: saves the
    state, so that a killed training resumes. `on_epoch`: called with each epoch, from 1, and its
    NDCG@10; its exceptions end training.
    """

    epochs: int
    learning_rate: float
    seed: int
    keep_start: bool = False
    log: Log | None = None
    checkpoints: Checkpoints | None = None
    on_epoch: OnEpoch | None = None


class NothingToLearnError(ValueError):
    """There are no events to train on."""

    def __init__(self) -> None:
        super().__init__(
            "nothing to train on: no user has two events before the validation window of which "
            "the later has a target behaviour; see features.target_behaviours and split"
        )


class LossNotFiniteError(ValueError):
    """Training has diverged."""

    def __init__(self, loss: float, epoch: int, setting: str) -> None:
        self.loss, self.epoch, self.setting = loss, epoch, setting
        super().__init__(f"the loss is not finite at epoch {epoch} ({loss}); lower {setting}")


def train(
    model: Recommender,
    sequences: Sequences,
    supervision: Supervision,
    settings: Training,
    plan: Plan,
) -> Report:
    """Train `model` in place; it ends with the weights of its best epoch on the selection cases.

    Items without training events then only keep their content vectors, see `models.cold_start`.
    Under `torchrun` every process takes a part of each batch; all end with the same weights.

    Raises:
        NothingToLearnError: there are no events to train on, and `keep_start` is not set.
        LossNotFiniteError: training diverges.
        MissingDeviceError: this machine does not have the device.
        TimeUpError: `checkpoints.minutes` have passed.
    """
    epochs, log, checkpoints = plan.epochs, plan.log, plan.checkpoints
    torch.set_num_threads(settings.threads)
    state = make_state(
        model, sequences, supervision, settings, epochs, plan.learning_rate, plan.seed
    )
    rng = np.random.default_rng(plan.seed)
    progress = begin(state, rng, plan.keep_start)
    key = ""
    if checkpoints is not None:
        key = key_of(state, checkpoints, epochs, plan.learning_rate, plan.keep_start)
        progress = resume(state, checkpoints, key, progress, log)
    report = progress.report
    report.arithmetic = arithmetic(settings, state.fabric)
    with bar_of(state, epochs, progress, log) as bar:
        while not is_over(report, epochs, settings.patience):
            epoch = len(report.losses)
            rng.bit_generator.state = progress.shuffling
            for _ in steps_of_epoch(state, rng, progress, bar):
                if checkpoints is not None and any_process(state, checkpoints.due()):
                    save_progress(state, checkpoints, key, progress, log)
                    if any_process(state, checkpoints.time_is_up()):
                        raise TimeUpError(checkpoints.minutes or 0, epoch + 1, epochs)
            end_epoch(state, progress, rng, plan)
            if checkpoints is not None:
                save_progress(state, checkpoints, key, progress, log)
            report_epoch(report, epochs, bar, log)
            if plan.on_epoch is not None:
                plan.on_epoch(epoch + 1, report.ndcg[-1])
    model.load_state_dict(progress.best)
    reset_untrained(model, training_counts(sequences, model.architecture.items))
    model.eval()
    return report


def is_over(report: Report, epochs: int, patience: int) -> bool:
    """Whether all epochs are done, or the last `patience` ones gave no improvement."""
    done = len(report.losses)
    return done >= epochs or (done > 0 and done - 1 - report.best_epoch >= patience)


def begin(state: TrainState, rng: np.random.Generator, keep_start: bool) -> Progress:
    """The progress before the first step; every process draws its own dropout."""
    torch.manual_seed(state.seed + state.fabric.global_rank)
    report = Report(start_ndcg=state.validate() if keep_start else None)
    return Progress(report, dict(rng.bit_generator.state), copied(state.model))


def any_process(state: TrainState, wanted: bool) -> bool:
    """Whether any process wants it: their clocks differ, but they must save together."""
    return total_of(state.fabric, wanted) > 0


def steps_of_epoch(
    state: TrainState, rng: np.random.Generator, progress: Progress, bar: "tqdm[NoReturn]"
) -> Iterator[None]:
    """Train on all windows once, from the position of `progress`; yields after each step."""
    state.model.train()
    epoch, size = len(progress.report.losses), state.settings.batch_size
    for step, windows in enumerate(shuffled_batches(state.supervision.windows(rng), size, rng)):
        if step < progress.step:
            continue  # done before the training was killed
        began = time.perf_counter()
        loss, predicted = take_step(state, windows, (state.seed, epoch, step))
        if predicted:
            progress.losses.append(loss)
            progress.events += predicted
        progress.step = step + 1
        progress.report.seconds += time.perf_counter() - began
        bar.update()
        yield


def end_epoch(state: TrainState, progress: Progress, rng: np.random.Generator, plan: Plan) -> None:
    """Validate, keep the best weights, and prepare the next epoch."""
    report, events = progress.report, progress.events
    if not events and not plan.keep_start:
        raise NothingToLearnError
    loss = float(torch.stack(progress.losses).mean()) if progress.losses else float("nan")
    if events and not math.isfinite(loss):
        setting = rate_setting(state.settings, plan.learning_rate)
        raise LossNotFiniteError(loss, len(report.losses) + 1, setting)
    best, began = report.best, time.perf_counter()
    report.events += events
    report.losses.append(loss)
    report.ndcg.append(state.validate())
    report.seconds += time.perf_counter() - began
    if report.ndcg[-1] > best:
        report.best_epoch, progress.best = len(report.ndcg) - 1, copied(state.model)
    progress.step, progress.losses, progress.events = 0, [], 0
    progress.shuffling = dict(rng.bit_generator.state)


def report_epoch(report: Report, epochs: int, bar: "tqdm[NoReturn]", log: Log | None) -> None:
    """Log the last epoch."""
    loss, quality = report.losses[-1], report.ndcg[-1]
    bar.set_postfix(loss=f"{loss:.3f}", best=f"{report.best:.4f}", refresh=False)
    if log is not None:
        log(
            f"epoch {len(report.losses)}/{epochs}: loss {loss:.3f}, validation NDCG@10 "
            f"{quality:.4f}"
        )


def bar_of(state: TrainState, epochs: int, progress: Progress, log: Log | None) -> "tqdm[NoReturn]":
    """A progress bar over all steps, with the remaining time; disabled without a log."""
    return tqdm(
        total=state.steps * epochs,
        initial=state.steps * len(progress.report.losses) + progress.step,
        unit="step",
        desc="training",
        mininterval=BAR_EVERY,
        disable=log is None or not state.fabric.is_global_zero,
    )


def rate_setting(settings: Training, learning_rate: float) -> str:
    """The setting that a learning rate comes from: segment students have their own."""
    own = isinstance(settings, Distill) and learning_rate == settings.segment_learning_rate
    return f"{block_of(settings)}.{'segment_' if own else ''}learning_rate"


def seeded(shape: Architecture, vectors: Mapping[str, np.ndarray] | None, seed: int) -> Recommender:
    """A new model with initial weights that depend only on the seed."""
    torch.manual_seed(seed)
    given = {name: torch.from_numpy(np.array(array)) for name, array in (vectors or {}).items()}
    return Recommender(shape, given)
