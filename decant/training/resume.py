"""A training's state: saved while it runs, and taken up by the next run of the same training."""

from dataclasses import asdict, fields

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from decant.training.checkpoints import (
    Checkpoints,
    Log,
    digest,
    optimizer_tensors,
    packed,
    restore_optimizer,
    unpacked,
)
from decant.training.pupil import Progress, Pupil, Report, total_of


def key_of(
    pupil: Pupil, checkpoints: Checkpoints, epochs: int, learning_rate: float, keep_start: bool
) -> str:
    """Digest of everything that the end of this training depends on."""
    lesson, sequences = pupil.lesson, pupil.sequences
    windows = lesson.windows(np.random.default_rng(pupil.seed))
    known = lesson.knowledge
    arrays = () if known is None else (getattr(known, array.name) for array in fields(known))
    taught = [
        part for rows in arrays if rows is not None for part in getattr(rows, "files", [rows])
    ]
    return digest([
        checkpoints.version, torch.__version__, pupil.settings.model_dump(), epochs,
        learning_rate, keep_start, pupil.seed, pupil.fabric.world_size,
        lesson.exclude_seen, asdict(lesson.weights), lesson.temperature, lesson.relation_heads,
        lesson.worst, lesson.anchor, *taught,
        windows.user, windows.first, windows.stop, lesson.picks.user, lesson.picks.position,
        *(np.asarray(getattr(sequences, array.name)) for array in fields(sequences)),
        *pupil.model.state_dict().values(),
    ])  # fmt: skip


def take_up(
    pupil: Pupil, checkpoints: Checkpoints, key: str, progress: Progress, log: Log | None
) -> Progress:
    """The state that was saved, if every process has one of this very training; else the given."""
    saved = checkpoints.read(key, log)
    if total_of(pupil.fabric, saved is None) or saved is None:
        return progress
    tensors, facts = saved
    pupil.objective.module.load_state_dict(unpacked("objective.", tensors))
    restore_optimizer(pupil.optimizer.optimizer, unpacked("optimizer.", tensors))
    pupil.schedule.load_state_dict(facts["schedule"])
    for group, rate in zip(
        pupil.optimizer.param_groups, facts["schedule"]["_last_lr"], strict=True
    ):
        group["lr"] = rate
    torch.set_rng_state(tensors["random"][pupil.fabric.global_rank])
    if "random_cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random_cuda"][pupil.fabric.global_rank])
    report = Report(**facts["report"])
    if log is not None:
        log(f"going on from a checkpoint: epoch {len(report.losses) + 1}, step {facts['step'] + 1}")
    return Progress(
        report,
        facts["shuffling"],
        {n: t.to(pupil.fabric.device) for n, t in unpacked("best.", tensors).items()},
        facts["step"],
        list(tensors["losses"].to(pupil.fabric.device).unbind()),
        facts["events"],
    )


def save_progress(
    pupil: Pupil, checkpoints: Checkpoints, key: str, progress: Progress, log: Log | None
) -> None:
    """Save the state as it is now; the first process writes, with what every one draws from."""
    fabric = pupil.fabric
    random = {"random": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        random["random_cuda"] = torch.cuda.get_rng_state()
    gathered = {name: every_process(fabric, state) for name, state in random.items()}
    if not fabric.is_global_zero:
        return
    facts = {
        "schedule": pupil.schedule.state_dict(),
        "report": asdict(progress.report),
        "shuffling": progress.shuffling,
        "step": progress.step,
        "events": progress.events,
    }
    losses = progress.losses
    tensors = {
        **packed("objective.", pupil.objective.module.state_dict()),
        **packed("best.", progress.best),
        **packed("optimizer.", optimizer_tensors(pupil.optimizer.optimizer)),
        **gathered,
        "losses": torch.stack(losses) if losses else torch.zeros(0),
    }
    checkpoints.write(key, tensors, facts, log)


def every_process(fabric: Fabric, state: Tensor) -> Tensor:
    """The same tensor of every process, one row each."""
    if fabric.world_size == 1:
        return state[None]
    own = state.to(fabric.device)
    rows = [torch.empty_like(own) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(rows, own)
    return torch.stack(rows)
