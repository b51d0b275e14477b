"""The clock: how long before the event to predict each event of a history was.

Position t predicts the event after it, so its moment is the time of that event; the last position's
is the moment to recommend for. Nothing else about the predicted event enters. Shapes: B sequences,
T positions.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

MINUTE = 60.0  # seconds
BUCKETS = 24  # a minute, two, four, ..., beyond sixteen years


def pauses(ages: Tensor) -> Tensor:
    """Seconds from each event to the next one, or to now: int [B, T].

    `ages` int [B, T]: seconds from each event to now.
    """
    return ages - _next(ages)


def elapsed(ages: Tensor, last: bool = False) -> Tensor:
    """Seconds from each event (last axis) to the moment of each position, int [B, T, T], or of the
    `last` position only, [B, 1, T].

    Negative for events after it, which a causal model does not read.
    """
    if last:
        return ages[:, None]
    return ages[:, None] - _next(ages)[:, :, None]


def bucket(seconds: Tensor) -> Tensor:
    """Buckets int64 of spans of whole seconds, by doubling: 0 is less than a minute."""
    minutes = (seconds.clamp(min=0).float() + MINUTE + 0.5) / MINUTE  # no span lies on an edge
    return (torch.log(minutes) / math.log(2)).clamp(max=BUCKETS - 1).long()


def _next(ages: Tensor) -> Tensor:
    """The age of the next event at each position, 0 at the last one."""
    return functional.pad(ages[:, 1:], (0, 1))
