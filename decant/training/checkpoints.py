"""A training's whole state on disk, so that one that was killed goes on as if it had not been.

One safetensors file, replaced as a whole; no pickle. Its key is a digest of everything that the
result depends on: a checkpoint of other data, settings or code is not taken up.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

STATE = "state.safetensors"
SAVE_EVERY = 60.0  # seconds


class TimeUp(ValueError):
    """Training has used the time it was given; what it has is saved."""

    def __init__(self, minutes: float, epoch: int, epochs: int) -> None:
        self.minutes, self.epoch, self.epochs = minutes, epoch, epochs
        super().__init__(
            f"stopped in epoch {epoch} of {epochs} after {minutes:g} minutes, as asked; the same "
            "command goes on from here"
        )


@dataclass
class Checkpoints:
    """Where a training's state is kept.

    `version`: digest of the code, part of the key. `minutes`: after so many, training stops with
    `TimeUp`, to go on another time; None: no limit.
    """

    folder: Path
    version: str = ""
    minutes: float | None = None
    _began: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Is it time to save?"""
        return time.monotonic() - self._saved >= SAVE_EVERY or self.time_is_up()

    def time_is_up(self) -> bool:
        """Has the time that was given been used?"""
        return self.minutes is not None and time.monotonic() - self._began >= 60 * self.minutes

    def write(self, key: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Replace what is saved."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / STATE
        temporary = path.with_suffix(".tmp")
        kept = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        temporary.write_bytes(save(kept, {"key": key, "facts": json.dumps(facts)}))
        os.replace(temporary, path)
        self._saved = time.monotonic()

    def read(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved under this key; None if there is none, or of something else."""
        path = self.folder / STATE
        try:
            with safe_open(path, "pt") as file:
                noted = file.metadata() or {}
                if noted.get("key") != key:
                    return None
                names = file.keys()
                return {n: file.get_tensor(n) for n in names}, json.loads(noted["facts"])
        except (FileNotFoundError, SafetensorError):
            return None


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 of arrays, tensors and what JSON can hold, in this order."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).data)
        else:
            found.update(json.dumps(part, sort_keys=True).encode() + b"\n")
    return found.hexdigest()


def packed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names that begin with `prefix`."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def unpacked(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers of every parameter, named `<number>.<what>`."""
    state = optimizer.state_dict()["state"]
    return {f"{n}.{what}": t for n, of_one in state.items() for what, t in of_one.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer back what it remembered."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, what = name.split(".")
        state.setdefault(int(number), {})[what] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
