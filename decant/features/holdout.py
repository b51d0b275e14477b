"""The holdout of validation users: one half selects epochs and settings, the other decides."""

import numpy as np

from decant.features.sequences import VALIDATION, Cases, Sequences, cases

SALT = 0x9E3779B1  # any odd number: spreads neighbouring user indices


def selection_cases(sequences: Sequences, per_user: int) -> Cases:
    """Cases used to select a model's best epoch and the amount of pruning."""
    chosen = cases(sequences, VALIDATION, per_user)
    return chosen.take(np.flatnonzero(in_selection(chosen.user)))


def selection_events(sequences: Sequences, most: int) -> Cases:
    """All target events of the selection half in the validation window, thinned to `most`."""
    chosen = selection_cases(sequences, most)
    return chosen.take(np.arange(0, len(chosen), max(1, -(-len(chosen) // most))))


def decision_cases(sequences: Sequences, per_user: int) -> Cases:
    """Cases used only to decide whether a student is accepted."""
    chosen = cases(sequences, VALIDATION, per_user)
    return chosen.take(np.flatnonzero(~in_selection(chosen.user)))


def in_selection(users: np.ndarray) -> np.ndarray:
    """Whether each user belongs to the selection half, bool; by a hash of the index."""
    return ((users.astype(np.uint64) * np.uint64(SALT)) >> np.uint64(16)) % np.uint64(2) == 0


def of_users(chosen: Cases, users: np.ndarray) -> Cases:
    """The cases of some users."""
    return chosen.take(np.flatnonzero(np.isin(chosen.user, users)))
