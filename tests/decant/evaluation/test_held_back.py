from collections.abc import Callable

import numpy as np

from decant.evaluation.held_back import draw_items, hold_back
from decant.features.sequences import TEST, VALIDATION, Sequences, cases


def test_items_lose_their_training_events_and_keep_those_of_the_windows(
    make_sequences: Callable[..., Sequences],
) -> None:
    users = [[1, 2, 3, 2, 1], [2, 2, 1, 3], [2, 2, 2, 3, 1]]
    sequences = make_sequences(users, behaviours=np.arange(14))
    held = np.array([False, False, True, False])
    kept = hold_back(sequences, held)
    assert kept.items.tolist() == [1, 3, 2, 1, 1, 3, 3, 1]
    assert kept.behaviours.tolist() == [0, 2, 3, 4, 7, 8, 12, 13]
    assert kept.offsets.tolist() == [0, 4, 6, 8]
    assert kept.split.tolist() == [[2, 3], [0, 1], [0, 1]]
    for window in (VALIDATION, TEST):
        before, after = (cases(s, window, 4) for s in (sequences, kept))
        targets, left = (
            list(zip(c.user.tolist(), s.items[c.position].tolist(), strict=True))
            for c, s in ((before, sequences), (after, kept))
        )
        assert left and set(left) <= set(targets)


def test_a_share_of_the_items_is_drawn_and_never_the_padding() -> None:
    held = draw_items(50, 0.2, 1)
    assert held.sum() == 10 and not held[0]
    assert (draw_items(50, 0.2, 1) == held).all() and (draw_items(50, 0.2, 2) != held).any()
    assert draw_items(50, 0.001, 1).sum() == 1
