"""Hold items back from training, to measure how new items are ranked."""

from dataclasses import fields, replace

import numpy as np

from decant.features.sequences import Sequences


def draw_items(items: int, share: float, seed: int) -> np.ndarray:
    """A share of the items at random, bool [N + 1]."""
    held = np.zeros(items + 1, dtype=bool)
    rng = np.random.default_rng(seed)
    held[rng.choice(items, max(1, round(share * items)), replace=False) + 1] = True
    return held


def hold_back(sequences: Sequences, held: np.ndarray) -> Sequences:
    """Remove the training events of the items `held`, bool [N + 1].

    Events in the validation and test windows stay: the held items are new there.
    """
    user = np.repeat(np.arange(sequences.users), np.diff(sequences.offsets))
    place = np.arange(len(user)) - np.asarray(sequences.offsets)[user]
    trained = place < np.asarray(sequences.split)[user, 0]
    kept = ~(trained & held[np.asarray(sequences.items)])
    lost = np.bincount(user[~kept], minlength=sequences.users)
    offsets = np.r_[0, (np.diff(sequences.offsets) - lost).cumsum()]
    events = {
        field.name: np.asarray(getattr(sequences, field.name))[kept]
        for field in fields(sequences)
        if field.name not in ("offsets", "attributes", "split")
    }
    split = np.asarray(sequences.split) - lost[:, None]
    return replace(sequences, offsets=offsets, split=split, **events)
