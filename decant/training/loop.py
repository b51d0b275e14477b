"""The one training loop, for teacher and students."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import numpy as np
import torch
from tqdm import tqdm

from decant.features.sequences import Sequences, training_counts
from decant.models.cold_start import settle_untrained
from decant.models.recommender import Architecture, Recommender
from decant.params.models import Distill, Training
from decant.training.batches import shuffled_batches
from decant.training.checkpoint import Checkpoints, TimeUp, key_of, save_progress, take_up
from decant.training.device import block_of
from decant.training.state import Progress, Pupil, Report, copied, make_pupil, total_of
from decant.training.step import take_step
from decant.training.supervision import Lesson

BAR_EVERY = 5.0  # seconds between two looks of the progress bar

Log = Callable[[str], None]
OnEpoch = Callable[[int, float], None]


class NothingToLearn(ValueError):
    """There is no event that a model could be trained to predict."""

    def __init__(self) -> None:
        super().__init__(
            "there is nothing to train on: no user has two events before the validation window, "
            "the later of a target behaviour; see features.target_behaviours and split"
        )


class LossNotFinite(ValueError):
    """Training has diverged: what it would go on from is no model."""

    def __init__(self, loss: float, epoch: int, setting: str) -> None:
        self.loss, self.epoch, self.setting = loss, epoch, setting
        super().__init__(f"the loss is not a number at epoch {epoch} ({loss}); lower {setting}")


def train(
    model: Recommender,
    sequences: Sequences,
    lesson: Lesson,
    settings: Training,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    keep_start: bool = False,
    log: Log | None = None,
    checkpoints: Checkpoints | None = None,
    on_epoch: OnEpoch | None = None,
) -> Report:
    """Train `model` in place; it ends with the weights of its best epoch on `lesson.picks`.

    Items that no training event has are then left to their given vectors: see `models.cold`.
    Under `torchrun` every process takes a part of each batch; all end with the same weights.

    Args:
        keep_start: the model as it came is a candidate too (epoch -1).
        log: takes a line after each epoch; with it there is a progress bar on stderr.
        checkpoints: where the state is kept, so that a training that was killed goes on.
        on_epoch: takes each epoch, from 1, and its NDCG@10; what it raises ends training.

    Raises:
        NothingToLearn: no event can be trained on, and the start is no candidate.
        LossNotFinite: training diverges. DeviceMissing: it cannot be done where it is asked for.
        TimeUp: `checkpoints.minutes` have passed.
    """
    torch.set_num_threads(settings.threads)
    pupil = make_pupil(model, sequences, lesson, settings, epochs, learning_rate, seed)
    rng = np.random.default_rng(seed)
    progress = begin(pupil, rng, keep_start)
    key = ""
    if checkpoints is not None:
        key = key_of(pupil, checkpoints, epochs, learning_rate, keep_start)
        progress = take_up(pupil, checkpoints, key, progress, log)
    report = progress.report
    with bar_of(pupil, epochs, progress, log) as bar:
        while not over(report, epochs, settings.patience):
            epoch = len(report.losses)
            rng.bit_generator.state = progress.shuffling
            for _ in steps_of_epoch(pupil, rng, progress, bar):
                if checkpoints is not None and agreed(pupil, checkpoints.due()):
                    save_progress(pupil, checkpoints, key, progress, log)
                    if agreed(pupil, checkpoints.time_is_up()):
                        raise TimeUp(checkpoints.minutes or 0, epoch + 1, epochs)
            end_epoch(pupil, progress, rng, keep_start, rate_setting(settings, learning_rate))
            if checkpoints is not None:
                save_progress(pupil, checkpoints, key, progress, log)
            tell(report, epochs, bar, log)
            if on_epoch is not None:
                on_epoch(epoch + 1, report.ndcg[-1])
    model.load_state_dict(progress.best)
    settle_untrained(model, training_counts(sequences, model.architecture.items))
    model.eval()
    return report


def over(report: Report, epochs: int, patience: int) -> bool:
    """Are all epochs done, or the last `patience` no better than the best?"""
    done = len(report.losses)
    return done >= epochs or (done > 0 and done - 1 - report.best_epoch >= patience)


def begin(pupil: Pupil, rng: np.random.Generator, keep_start: bool) -> Progress:
    """The state before the first step. Every process draws its own dropout."""
    torch.manual_seed(pupil.seed + pupil.fabric.global_rank)
    report = Report(start_ndcg=pupil.validate() if keep_start else None)
    return Progress(report, dict(rng.bit_generator.state), copied(pupil.model))


def agreed(pupil: Pupil, wanted: bool) -> bool:
    """Does any process want it? They save together, whatever their clocks say."""
    return total_of(pupil.fabric, wanted) > 0


def steps_of_epoch(
    pupil: Pupil, rng: np.random.Generator, progress: Progress, bar: "tqdm[NoReturn]"
) -> Iterator[None]:
    """Train on the lesson's windows once, from where `progress` is; yields after each step."""
    pupil.model.train()
    epoch, size = len(progress.report.losses), pupil.settings.batch_size
    for step, windows in enumerate(shuffled_batches(pupil.lesson.windows(rng), size, rng)):
        if step < progress.step:
            continue  # done before the training was killed
        began = time.perf_counter()
        loss, predicted = take_step(pupil, windows, (pupil.seed, epoch, step))
        if predicted:
            progress.losses.append(loss)
            progress.events += predicted
        progress.step = step + 1
        progress.report.seconds += time.perf_counter() - began
        bar.update()
        yield


def end_epoch(
    pupil: Pupil, progress: Progress, rng: np.random.Generator, keep_start: bool, setting: str
) -> None:
    """Validate, keep what is better, and be ready for the next epoch."""
    report, events = progress.report, progress.events
    if not events and not keep_start:
        raise NothingToLearn
    loss = float(torch.stack(progress.losses).mean()) if progress.losses else float("nan")
    if events and not math.isfinite(loss):
        raise LossNotFinite(loss, len(report.losses) + 1, setting)
    best, began = report.best, time.perf_counter()
    report.events += events
    report.losses.append(loss)
    report.ndcg.append(pupil.validate())
    report.seconds += time.perf_counter() - began
    if report.ndcg[-1] > best:
        report.best_epoch, progress.best = len(report.ndcg) - 1, copied(pupil.model)
    progress.step, progress.losses, progress.events = 0, [], 0
    progress.shuffling = dict(rng.bit_generator.state)


def tell(report: Report, epochs: int, bar: "tqdm[NoReturn]", log: Log | None) -> None:
    """Say how the last epoch went."""
    loss, quality = report.losses[-1], report.ndcg[-1]
    bar.set_postfix(loss=f"{loss:.3f}", best=f"{report.best:.4f}", refresh=False)
    if log is not None:
        log(
            f"epoch {len(report.losses)}/{epochs}: loss {loss:.3f}, validation NDCG@10 "
            f"{quality:.4f}"
        )


def bar_of(pupil: Pupil, epochs: int, progress: Progress, log: Log | None) -> "tqdm[NoReturn]":
    """A progress bar over all steps, with the time that is left; none where nobody looks on."""
    return tqdm(
        total=pupil.steps * epochs,
        initial=pupil.steps * len(progress.report.losses) + progress.step,
        unit="step",
        desc="training",
        mininterval=BAR_EVERY,
        disable=log is None or not pupil.fabric.is_global_zero,
    )


def rate_setting(settings: Training, learning_rate: float) -> str:
    """The setting that a learning rate comes from: a segment's student has one of its own."""
    own = isinstance(settings, Distill) and learning_rate == settings.segment_learning_rate
    return f"{block_of(settings)}.{'segment_' if own else ''}learning_rate"


def seeded(shape: Architecture, vectors: Mapping[str, np.ndarray] | None, seed: int) -> Recommender:
    """A new model whose first weights depend on the seed alone."""
    torch.manual_seed(seed)
    given = {name: torch.from_numpy(np.array(array)) for name, array in (vectors or {}).items()}
    return Recommender(shape, given)
