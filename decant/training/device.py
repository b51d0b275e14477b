"""Device, processes and precision of training."""

import logging
import os
import time
from collections.abc import Callable
from functools import cache

import torch
from lightning_fabric import Fabric

from decant.params.models import Distill, Training

BFLOAT16 = "bfloat16"
PAYS = 1.5  # bfloat16 is used if its products are at least this many times faster
PROBE = (1024, 128, 1024)  # similar to the shapes of products in training
TRIES = 5


class MissingDeviceError(ValueError):
    """This machine does not have the configured device."""

    def __init__(self, device: str, block: str) -> None:
        self.device, self.block = device, block
        super().__init__(
            f"{block}.device is `{device}`, which torch does not find on this machine; set it to "
            "auto or cpu"
        )


def make_fabric(settings: Training) -> Fabric:
    """Device and precision as configured; `auto` uses an accelerator if there is one.

    Under `torchrun` this is one of several processes (gloo on CPUs, NCCL on GPUs).

    Raises:
        MissingDeviceError: this machine does not have the device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(settings.device, True):
        raise MissingDeviceError(settings.device, block_of(settings))
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=settings.device,
        devices=processes,
        num_nodes=int(os.environ.get("WORLD_SIZE", 1)) // processes,
        strategy="ddp" if "WORLD_SIZE" in os.environ else "auto",
        precision="bf16-mixed" if precision_of(settings) == BFLOAT16 else "32-true",
    )
    fabric.launch()
    return fabric


def precision_of(settings: Training) -> str:
    """The number format of training, `float32` or `bfloat16`: as configured, or what pays here."""
    if settings.precision != "auto":
        return settings.precision
    return BFLOAT16 if bfloat16_pays(settings.device) else "float32"


def arithmetic(settings: Training, fabric: Fabric) -> dict[str, str | int]:
    """What the bytes of a trained model depend on besides data, settings and code."""
    return {
        "device": fabric.device.type,
        "precision": precision_of(settings),
        "threads": settings.threads,
        "processes": fabric.world_size,
    }


def device_of(settings: Training) -> torch.device:
    """The device on which a model with these settings is trained.

    Raises:
        MissingDeviceError: this machine does not have the device.
    """
    return make_fabric(settings).device


def bfloat16_pays(device: str) -> bool:
    """Whether bfloat16 is worth its lower precision: on CUDA if supported; on a CPU if measured.

    The instruction set of a CPU does not predict it: with the same instructions bfloat16 was
    several times faster on one machine, and slower on another.
    """
    if device in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return bfloat16_speed() >= PAYS


@cache
def bfloat16_speed() -> float:
    """Time of a float32 product ÷ that of a bfloat16 one, on this CPU."""
    rows, inner, columns = PROBE
    taken = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)
        taken[kind] = min(seconds(lambda a=a, b=b: a @ b) for _ in range(TRIES))  # type: ignore[misc]
    return taken[torch.float32] / taken[torch.bfloat16]


def seconds(work: Callable[[], object]) -> float:
    """Duration of a call in seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def block_of(settings: Training) -> str:
    """The block of params.yaml that these settings come from."""
    return "distill" if isinstance(settings, Distill) else "teacher"
