"""Validation users in two disjoint halves: one picks epochs and settings, the other decides."""

import numpy as np

from decant.features.sequences import VALIDATION, Cases, Sequences, cases

SALT = 0x9E3779B1  # any odd number: spreads neighbouring user indices


def picks(sequences: Sequences, per_user: int) -> Cases:
    """Cases that choose: a model's best epoch, how much is pruned."""
    chosen = cases(sequences, VALIDATION, per_user)
    return chosen.take(np.flatnonzero(picking(chosen.user)))


def decides(sequences: Sequences, per_user: int) -> Cases:
    """Cases that decide whether a student ships; no choice before the gate has seen them."""
    chosen = cases(sequences, VALIDATION, per_user)
    return chosen.take(np.flatnonzero(~picking(chosen.user)))


def picking(users: np.ndarray) -> np.ndarray:
    """Which users belong to the picking half, bool; by a hash of their index."""
    return ((users.astype(np.uint64) * np.uint64(SALT)) >> np.uint64(16)) % np.uint64(2) == 0


def of_users(chosen: Cases, users: np.ndarray) -> Cases:
    """The cases of some users."""
    return chosen.take(np.flatnonzero(np.isin(chosen.user, users)))
