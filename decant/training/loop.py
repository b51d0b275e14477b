"""The one training loop, for teacher and students."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn
from tqdm import tqdm

from decant.evaluation.baselines import training_counts
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import rank
from decant.features.sequences import Cases, Sequences, histories, history_lengths
from decant.models.cold import settle_untrained, untrained
from decant.models.recommender import HIDDEN, Architecture, Recommender
from decant.params import Distill, Training
from decant.training.batches import Windows, cut, shuffled_batches
from decant.training.losses import anchor_loss, hard_loss, soft_loss

BETAS = (0.9, 0.98)
WARM_UP = 0.05  # share of all steps
CLIP = 1.0
K = 10
BAR_EVERY = 5.0  # seconds between two looks of the progress bar

Log = Callable[[str], None]


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


class DeviceMissing(ValueError):
    """This machine does not have the device that the settings name."""

    def __init__(self, device: str, block: str) -> None:
        self.device, self.block = device, block
        super().__init__(
            f"{block}.device is `{device}`, which torch does not find on this machine; set it to "
            "auto or cpu"
        )


@dataclass(frozen=True)
class SoftLabels:
    """A teacher's top K for every event: `ids` int [E, K], `log_probabilities` float [E, K]."""

    ids: np.ndarray
    log_probabilities: np.ndarray


@dataclass(frozen=True)
class Lesson:
    """What a model is taught with.

    `windows`: what it learns from, drawn anew each epoch; `picks`: the validation cases that
    choose its best epoch; `soft`: a teacher's soft labels, which make `soft_weight` of the loss;
    `anchor`: how strongly the weights are held to where they start.
    """

    windows: Callable[[np.random.Generator], Windows]
    picks: Cases
    exclude_seen: bool
    soft: SoftLabels | None = None
    soft_weight: float = 0.0
    temperature: float = 1.0
    anchor: float = 0.0


@dataclass
class Report:
    """How training went: one number per epoch, and which epoch was kept (-1: the start)."""

    losses: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    start_ndcg: float | None = None
    best_epoch: int = -1
    events: int = 0


class Objective(nn.Module):
    """Model and losses as one module, so that Fabric can wrap it."""

    new: Tensor | None

    def __init__(self, model: Recommender, lesson: Lesson, new: Tensor | None = None) -> None:
        """`new` bool [N + 1]: items without a training event, which are no wrong answers."""
        super().__init__()
        self.model, self.lesson = model, lesson
        self.register_buffer("new", new, persistent=False)
        held = lesson.anchor > 0
        self.start = [p.detach().clone() for p in model.parameters()] if held else []

    def forward(
        self, batch: dict[str, Tensor], targets: Tensor, soft: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Mean loss. `batch`, `targets` int [B, T]; `soft`: ids, log-probabilities [P, K]."""
        lesson, table = self.lesson, self.model.table()
        hidden = self.model.hidden(batch, table)[targets > 0]
        scores = self.model.scores(hidden, table).float()
        told = scores if self.new is None else scores.masked_fill(self.new, HIDDEN)
        loss = hard_loss(told, targets[targets > 0])
        if soft is not None:
            taught = soft_loss(scores, soft[0], soft[1], lesson.temperature)
            loss = (1 - lesson.soft_weight) * loss + lesson.soft_weight * taught
        if lesson.anchor:
            loss = loss + lesson.anchor * anchor_loss(list(self.model.parameters()), self.start)
        return loss


@dataclass(frozen=True)
class Pupil:
    """A model in training and everything that one step of it needs."""

    model: Recommender
    sequences: Sequences
    lesson: Lesson
    fabric: Fabric
    objective: _FabricModule
    optimizer: _FabricOptimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    steps: int  # of one epoch


def make_fabric(settings: Training) -> Fabric:
    """Device and precision as set; `auto` takes an accelerator where there is one.

    bfloat16 by itself only where matrix units do it: on a CPU without them it is slower.

    Raises:
        DeviceMissing: there is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(settings.device, True):
        raise DeviceMissing(settings.device, block_of(settings))
    fast = torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()
    half = settings.precision == "bfloat16" or (settings.precision == "auto" and fast)
    return Fabric(
        accelerator=settings.device, devices=1, precision="bf16-mixed" if half else "32-true"
    )


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
) -> Report:
    """Train `model` in place; it ends with the weights of its best epoch on `lesson.picks`.

    Items that no training event has are then left to their given vectors: see `models.cold`.

    Args:
        keep_start: the model as it came is a candidate too (epoch -1).
        log: takes a line after each epoch; with it there is a progress bar on stderr.

    Raises:
        NothingToLearn: no event can be trained on, and the start is no candidate.
        LossNotFinite: training diverges. DeviceMissing: it cannot be done where it is asked for.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pupil = make_pupil(model, sequences, lesson, settings, epochs, learning_rate, seed)
    report, best = Report(), deepcopy(model.state_dict())
    if keep_start:
        report.start_ndcg = validate(model, sequences, lesson)
    with bar_of(pupil.steps * epochs, log) as bar:
        for epoch in range(epochs):
            loss, events = teach_epoch(pupil, settings.batch_size, rng, bar)
            if not events and not keep_start:
                raise NothingToLearn
            if events and not math.isfinite(loss):
                raise LossNotFinite(loss, epoch + 1, rate_setting(settings, learning_rate))
            report.events += events
            report.losses.append(loss)
            report.ndcg.append(validate(model, sequences, lesson))
            if log is not None:
                log(
                    f"epoch {epoch + 1}/{epochs}: loss {loss:.3f}, "
                    f"validation NDCG@10 {report.ndcg[-1]:.4f}"
                )
            if report.ndcg[-1] > best_so_far(report):
                report.best_epoch, best = epoch, deepcopy(model.state_dict())
            bar.set_postfix(best=f"{best_so_far(report):.4f}", refresh=False)
            if epoch - report.best_epoch >= settings.patience:
                break
    model.load_state_dict(best)
    settle_untrained(model, training_counts(sequences, model.architecture.items))
    model.eval()
    return report


def make_pupil(
    model: Recommender,
    sequences: Sequences,
    lesson: Lesson,
    settings: Training,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> Pupil:
    """Put `model` on its device and make what trains it for that many epochs."""
    fabric = make_fabric(settings)
    model.to(fabric.device)  # before the objective copies the weights it holds on to
    steps = -(-len(lesson.windows(np.random.default_rng(seed))) // settings.batch_size)
    optimizer = make_optimizer(model, learning_rate, settings.weight_decay)
    schedule = make_schedule(optimizer, max(1, steps) * epochs)
    new = untrained(training_counts(sequences, model.architecture.items))
    objective, wrapped = fabric.setup(Objective(model, lesson, new), optimizer)
    return Pupil(model, sequences, lesson, fabric, objective, wrapped, schedule, steps)


def block_of(settings: Training) -> str:
    """The block of params.yaml that these settings are."""
    return "distill" if isinstance(settings, Distill) else "teacher"


def rate_setting(settings: Training, learning_rate: float) -> str:
    """The setting that a learning rate comes from: a segment's student has one of its own."""
    own = isinstance(settings, Distill) and learning_rate == settings.segment_learning_rate
    return f"{block_of(settings)}.{'segment_' if own else ''}learning_rate"


def bar_of(steps: int, log: Log | None) -> "tqdm[NoReturn]":
    """A progress bar over all steps, with the time that is left; none where nobody looks on."""
    return tqdm(
        total=steps, unit="step", desc="training", mininterval=BAR_EVERY, disable=log is None
    )


def teach_epoch(
    pupil: Pupil, batch_size: int, rng: np.random.Generator, bar: "tqdm[NoReturn]"
) -> tuple[float, int]:
    """Train on the lesson's windows once: mean loss, NaN without any; events predicted."""
    pupil.model.train()
    losses, events = [], 0
    for windows in shuffled_batches(pupil.lesson.windows(rng), batch_size, rng):
        batch, targets, soft = prepare_batch(
            pupil.sequences, windows, pupil.lesson, pupil.model, pupil.fabric.device
        )
        predicted = int((targets > 0).sum())
        if predicted:
            losses.append(take_step(pupil, pupil.objective(batch, targets, soft)))
            events += predicted
        bar.update()
    return float(torch.stack(losses).mean()) if losses else float("nan"), events


def take_step(pupil: Pupil, loss: Tensor) -> Tensor:
    """One step of the optimizer; the loss without its graph."""
    pupil.optimizer.zero_grad()
    pupil.fabric.backward(loss)
    nn.utils.clip_grad_norm_(pupil.model.parameters(), CLIP)
    pupil.optimizer.step()
    pupil.schedule.step()
    return loss.detach()


def seeded(shape: Architecture, vectors: Mapping[str, np.ndarray] | None, seed: int) -> Recommender:
    """A new model whose first weights depend on the seed alone."""
    torch.manual_seed(seed)
    given = {name: torch.from_numpy(np.array(array)) for name, array in (vectors or {}).items()}
    return Recommender(shape, given)


def best_so_far(report: Report) -> float:
    """The NDCG of what is kept now; below any possible one if nothing is."""
    if report.best_epoch >= 0:
        return report.ndcg[report.best_epoch]
    return -1.0 if report.start_ndcg is None else report.start_ndcg


def make_optimizer(model: nn.Module, learning_rate: float, decay: float) -> torch.optim.Optimizer:
    """AdamW; biases, norms and embeddings are not decayed."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = list(model.parameters())
    decayed = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
    ids = {id(p) for p in decayed}
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": [p for p in parameters if id(p) not in ids], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """A short linear warm-up, then a straight line down to a twentieth."""
    warm = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 1 - 0.95 * min(1.0, (step - warm) / max(1, steps - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def prepare_batch(
    sequences: Sequences, windows: Windows, lesson: Lesson, model: Recommender, device: torch.device
) -> tuple[dict[str, Tensor], Tensor, tuple[Tensor, Tensor] | None]:
    """Cut a batch and move it: inputs, targets, and the soft labels of its predictions."""
    arrays, targets, position = cut(sequences, windows, model.architecture.event_inputs)
    batch = to_tensors(arrays, device)
    soft = None
    if lesson.soft is not None and lesson.soft_weight:
        rows = position[targets > 0]
        soft = (
            torch.from_numpy(lesson.soft.ids[rows].astype(np.int64)).to(device),
            torch.from_numpy(lesson.soft.log_probabilities[rows].astype(np.float32)).to(device),
        )
    return batch, torch.from_numpy(targets).to(device), soft


def to_tensors(arrays: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """Arrays as tensors on a device."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in arrays.items()
    }


class TorchScorer:
    """Scores cases with a model in torch; see `decant.evaluation.scoring.Scorer`."""

    def __init__(self, model: Recommender) -> None:
        self.model = model

    @torch.inference_mode()
    def __call__(self, sequences: Sequences, chosen: Cases) -> np.ndarray:
        a = self.model.architecture
        device = next(self.model.parameters()).device
        longest = int(history_lengths(sequences, chosen).clip(1, a.max_length).max())
        batch = histories(sequences, chosen, a.event_inputs, longest)
        was_training = self.model.training
        self.model.eval()
        scores = self.model(to_tensors(batch, device)).float().cpu().numpy()
        self.model.train(was_training)
        return scores


def validate(model: Recommender, sequences: Sequences, lesson: Lesson) -> float:
    """Mean NDCG@10 on the cases that choose the epoch."""
    ranking = rank(
        TorchScorer(model),
        sequences,
        lesson.picks,
        model.architecture.items,
        k=K,
        exclude_seen=lesson.exclude_seen,
    )
    return float(ndcg(ranking.ranks, K).mean()) if len(lesson.picks) else 0.0
