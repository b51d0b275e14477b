"""Checkpoints of the whole training state: a killed training resumes with identical results.

One safetensors file, replaced atomically; no pickle. Its key is a digest of everything that the
result depends on: a checkpoint of other data, settings or code is ignored, and so is a damaged one.
If a checkpoint cannot be read or written, training logs that and goes on without.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from decant.files import unusable
from decant.training.device import arithmetic
from decant.training.state import Progress, Report, TrainState, total_of

STATE = "state.safetensors"
FORMAT = "2"  # of that file
SAVE_EVERY = 60.0  # seconds
Log = Callable[[str], None]


class TimeUpError(ValueError):
    """Training has reached its time limit; its state is saved."""

    def __init__(self, minutes: float, epoch: int, epochs: int) -> None:
        self.minutes, self.epoch, self.epochs = minutes, epoch, epochs
        super().__init__(
            f"stopped in epoch {epoch} of {epochs} after {minutes:g} minutes, the time limit; the "
            "same command goes on from here"
        )


@dataclass
class Checkpoints:
    """The checkpoints of a training.

    `version`: digest of the code, part of the key. `minutes`: time limit, after which training
    stops with `TimeUpError`, to be resumed later; None: no limit.
    """

    folder: Path
    version: str = ""
    minutes: float | None = None
    _began: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)
    _failed: bool = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= SAVE_EVERY or self.time_is_up()

    def time_is_up(self) -> bool:
        """Whether the time limit is reached."""
        return self.minutes is not None and time.monotonic() - self._began >= 60 * self.minutes

    def write(
        self, key: str, tensors: dict[str, Tensor], facts: dict[str, Any], log: Log | None = None
    ) -> None:
        """Replace the saved state; log once if that fails.

        Raises:
            OSError: saving fails, and there is a time limit, so that training must be resumable.
        """
        path = self.folder / STATE
        temporary = path.with_suffix(".tmp")
        kept = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        facts_json = json.dumps(facts)
        noted = {
            "format": FORMAT,
            "key": key,
            "facts": facts_json,
            "content": _content(kept, facts_json),
        }
        self._saved = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(save(kept, noted))
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if self.minutes is not None:
                raise
            if log is not None and not self._failed:
                log(f"checkpoint not saved, training continues without: {unusable(path, error)}")
            self._failed = True

    def read(
        self, key: str, log: Log | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state saved under this key; None if there is no usable one."""
        path = self.folder / STATE
        if not os.path.lexists(path):
            return None
        try:
            with safe_open(path, "pt") as file:
                noted = file.metadata() or {}
                why = _difference(noted, key)
                names = [] if why else file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            why = f"it cannot be read: {' '.join(str(error).split())}"
        if not why and noted.get("content") == _content(tensors, noted["facts"]):
            return tensors, json.loads(noted["facts"])
        if log is not None:
            log(f"checkpoint {path} ignored, training starts from scratch: {why or 'damaged'}")
        return None


def _difference(noted: dict[str, str], key: str) -> str:
    """Why a checkpoint is not of this training, empty if it is."""
    if noted.get("format") != FORMAT or "facts" not in noted:
        return "it was written by another version of Decant"
    return "" if noted.get("key") == key else "it is of other data, settings or code"


def _content(tensors: dict[str, Tensor], facts: str) -> str:
    """Digest of the content of a checkpoint: safetensors files have no checksum."""
    return digest([facts, *(part for name in sorted(tensors) for part in (name, tensors[name]))])


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 of arrays, tensors and JSON values, in this order."""
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype.str}{part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).data)
        else:
            hasher.update(json.dumps(part, sort_keys=True).encode() + b"\n")
    return hasher.hexdigest()


def packed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with `prefix` added to their names."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def unpacked(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with names that begin with `prefix`, which is removed."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer for every parameter, named `<number>.<key>`."""
    state = optimizer.state_dict()["state"]
    return {f"{n}.{what}": t for n, of_one in state.items() for what, t in of_one.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the state of an optimizer."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, what = name.split(".")
        state.setdefault(int(number), {})[what] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def key_of(
    state: TrainState, checkpoints: Checkpoints, epochs: int, learning_rate: float, keep_start: bool
) -> str:
    """Digest of everything that the result of this training depends on."""
    supervision, sequences = state.supervision, state.sequences
    windows = supervision.windows(np.random.default_rng(state.seed))
    known = supervision.knowledge
    arrays = () if known is None else (getattr(known, array.name) for array in fields(known))
    knowledge_rows = [
        part for rows in arrays if rows is not None for part in getattr(rows, "files", [rows])
    ]
    return digest([
        checkpoints.version, torch.__version__, state.settings.model_dump(), epochs,
        learning_rate, keep_start, state.seed, arithmetic(state.settings, state.fabric),
        supervision.exclude_seen, asdict(supervision.weights), supervision.temperature,
        supervision.relation_heads, supervision.cvar_fraction, supervision.l2_sp, *knowledge_rows,
        windows.user, windows.first, windows.stop,
        supervision.selection.user, supervision.selection.position,
        *(np.asarray(getattr(sequences, array.name)) for array in fields(sequences)),
        *state.model.state_dict().values(),
    ])  # fmt: skip


def resume(
    state: TrainState, checkpoints: Checkpoints, key: str, progress: Progress, log: Log | None
) -> Progress:
    """Restore the saved state if every process has one of this training; else keep `progress`."""
    saved = checkpoints.read(key, log)
    if total_of(state.fabric, saved is None) or saved is None:
        return progress
    tensors, facts = saved
    state.objective.module.load_state_dict(unpacked("objective.", tensors))
    restore_optimizer(state.optimizer.optimizer, unpacked("optimizer.", tensors))
    state.schedule.load_state_dict(facts["schedule"])
    for group, rate in zip(
        state.optimizer.param_groups, facts["schedule"]["_last_lr"], strict=True
    ):
        group["lr"] = rate
    torch.set_rng_state(tensors["random"][state.fabric.global_rank])
    if "random_cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random_cuda"][state.fabric.global_rank])
    report = Report(**facts["report"])
    if log is not None:
        log(f"resuming from a checkpoint: epoch {len(report.losses) + 1}, step {facts['step'] + 1}")
    return Progress(
        report,
        facts["shuffling"],
        {n: t.to(state.fabric.device) for n, t in unpacked("best.", tensors).items()},
        facts["step"],
        list(tensors["losses"].to(state.fabric.device).unbind()),
        facts["events"],
    )


def save_progress(
    state: TrainState, checkpoints: Checkpoints, key: str, progress: Progress, log: Log | None
) -> None:
    """Save the current state; the first process writes, with the random states of all."""
    fabric = state.fabric
    random = {"random": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        random["random_cuda"] = torch.cuda.get_rng_state()
    gathered = {name: every_process(fabric, state) for name, state in random.items()}
    if not fabric.is_global_zero:
        return
    facts = {
        "schedule": state.schedule.state_dict(),
        "report": asdict(progress.report),
        "shuffling": progress.shuffling,
        "step": progress.step,
        "events": progress.events,
    }
    losses = progress.losses
    tensors = {
        **packed("objective.", state.objective.module.state_dict()),
        **packed("best.", progress.best),
        **packed("optimizer.", optimizer_tensors(state.optimizer.optimizer)),
        **gathered,
        "losses": torch.stack(losses) if losses else torch.zeros(0),
    }
    checkpoints.write(key, tensors, facts, log)


def every_process(fabric: Fabric, state: Tensor) -> Tensor:
    """Gather a tensor of every process, one row each."""
    if fabric.world_size == 1:
        return state[None]
    own = state.to(fabric.device)
    rows = [torch.empty_like(own) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(rows, own)
    return torch.stack(rows)
