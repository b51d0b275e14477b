import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.features.sequences import Sequences
from decant.training.batches import (
    Windows,
    cut,
    cut_masked,
    every_nth,
    random_mask,
    shuffled_batches,
    training_windows,
)

Make = Callable[..., Sequences]

histories = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 4)), min_size=1
)


def held_out(make: Make, users: list[tuple[int, int, int]]) -> Sequences:
    """Users of (training, validation, test) events; every item is another."""
    lengths = [sum(user) for user in users]
    ends = np.cumsum([0, *lengths]).tolist()
    items = [list(range(1 + a, 1 + b)) for a, b in itertools.pairwise(ends)]
    return make(items, split=[[a, a + b] for a, b, _ in users])


def targets_of(sequences: Sequences, windows: Windows) -> list[int]:
    """Every position that is predicted, one after another."""
    if not len(windows):
        return []
    _, targets, position = cut(sequences, windows, ("items",))
    assert (np.asarray(sequences.items)[position[targets > 0]] == targets[targets > 0]).all()
    return position[targets > 0].tolist()


@settings(max_examples=60, deadline=None)
@given(users=histories, length=st.integers(1, 6))
def test_every_training_event_is_predicted_once_and_no_other_ever(
    make_sequences: Make, users: list[tuple[int, int, int]], length: int
) -> None:
    sequences = held_out(make_sequences, users)
    predicted = targets_of(sequences, training_windows(sequences, length))
    expected = [
        start + event
        for start, (training, _, _) in zip(sequences.offsets[:-1], users, strict=True)
        for event in range(1, training)  # the first has no history
    ]
    assert sorted(predicted) == expected


@settings(max_examples=60, deadline=None)
@given(users=histories, length=st.integers(1, 6))
def test_no_input_is_of_validation_or_test_or_of_another_user(
    make_sequences: Make, users: list[tuple[int, int, int]], length: int
) -> None:
    sequences = held_out(make_sequences, users)
    windows = training_windows(sequences, length)
    if not len(windows):
        return
    batch, _, _ = cut(sequences, windows, ("items",))
    for row, user in zip(batch["items"], windows.user, strict=True):
        start = sequences.offsets[user]
        allowed = sequences.items[start : start + users[user][0]]
        assert set(row.tolist()) - {0} <= set(allowed.tolist())


@settings(max_examples=60, deadline=None)
@given(users=histories, length=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_batch_is_what_naive_code_cuts(
    make_sequences: Make, users: list[tuple[int, int, int]], length: int, seed: int
) -> None:
    sequences = held_out(make_sequences, users)
    rng = np.random.default_rng(seed)
    wanted = rng.random(len(sequences.items)) < 0.6
    sequences = make_sequences(
        [sequences.items[a:b].tolist() for a, b in spans(sequences)],
        split=sequences.split,
        behaviours=rng.integers(1, 4, len(wanted)),
        target=wanted,
        attributes=rng.integers(0, 9, (len(users), 2)),
    )
    for windows in shuffled_batches(training_windows(sequences, length), 4, rng):
        batch, targets, position = cut(sequences, windows, ("items", "behaviours"))
        longest = max(windows.stop - windows.first) - 1
        for row in range(len(windows)):
            first, stop = int(windows.first[row]), int(windows.stop[row])
            pad = [0] * (longest - (stop - first - 1))
            items, behaviours = sequences.items.tolist(), sequences.behaviours.tolist()
            assert batch["items"][row].tolist() == pad + items[first : stop - 1]
            assert batch["behaviours"][row].tolist() == pad + behaviours[first : stop - 1]
            following = range(first + 1, stop)
            assert targets[row].tolist() == pad + [items[i] * int(wanted[i]) for i in following]
            assert position[row].tolist() == pad + list(following)
            user = windows.user[row]
            assert (batch["attributes"][row] == sequences.attributes[user]).all()


@settings(max_examples=60, deadline=None)
@given(users=histories, length=st.integers(1, 6), seed=st.integers(0, 99))
def test_nothing_of_a_masked_event_is_read(
    make_sequences: Make, users: list[tuple[int, int, int]], length: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sequences = held_out(make_sequences, users)
    size, inputs = len(sequences.items), ("items", "behaviours", "ratings", "gaps")
    columns = {name: rng.integers(1, 9, size) for name in inputs[1:]}
    sequences = replace(sequences, **columns, target=rng.random(size) < 0.6)
    windows = training_windows(sequences, length)
    if not len(windows):
        return
    masked = random_mask(windows, 0.5, rng)
    batch, targets, position = cut_masked(sequences, windows, inputs, masked, 999)
    for row in range(len(windows)):
        first, stop = int(windows.first[row]), int(windows.stop[row])
        pad = masked.shape[1] - (stop - first)
        for column in range(pad):
            assert targets[row, column] == position[row, column] == 0
            assert all(batch[name][row, column] == 0 for name in inputs)
        for place, event in enumerate(range(first, stop), start=pad):
            hidden = bool(masked[row, place] and sequences.target[event])
            item = sequences.items[event]
            assert position[row, place] == event
            assert targets[row, place] == (item if hidden else 0)
            assert batch["items"][row, place] == (999 if hidden else item)
            for name, column in columns.items():
                assert batch[name][row, place] == (0 if hidden else column[event])


def test_the_newest_event_is_masked_and_of_the_others_the_share(make_sequences: Make) -> None:
    windows = training_windows(make_sequences([list(range(1, 53))] * 40), 50)
    masked = random_mask(windows, 0.2, np.random.default_rng(0))
    assert masked[:, -1].all()
    assert abs(masked[:, :-1].mean() - 0.2) < 0.03
    assert not random_mask(windows, 0.0, np.random.default_rng(0))[:, :-1].any()


def test_the_masks_of_all_parts_hide_every_event_once(make_sequences: Make) -> None:
    windows = training_windows(make_sequences([list(range(1, 15))] * 3), 12)
    hidden = np.sum([every_nth(windows, part, 5) for part in range(5)], axis=0)
    assert (hidden == 1).all()


def spans(sequences: Sequences) -> list[tuple[int, int]]:
    return list(zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True))


def test_the_newest_events_are_in_a_whole_window(make_sequences: Make) -> None:
    sequences = make_sequences([list(range(1, 9))], split=[[8, 8]])
    windows = training_windows(sequences, 3)
    pieces = list(zip(windows.first.tolist(), windows.stop.tolist(), strict=True))
    assert pieces == [(4, 8), (1, 5), (0, 2)]


def test_every_window_is_in_one_batch_with_others_as_long(make_sequences: Make) -> None:
    users = [list(range(1, 2 + length)) for length in range(1, 50)]
    sequences = make_sequences(users, split=[[len(u), len(u)] for u in users])
    windows = training_windows(sequences, 50)
    batches = list(shuffled_batches(windows, 7, np.random.default_rng(0)))
    assert [len(b) for b in batches] == [7] * 7
    drawn = np.concatenate([b.user for b in batches])
    assert sorted(drawn) == sorted(windows.user)
    spread = [int(np.ptp(b.stop - b.first)) for b in batches]
    assert max(spread) == 6


def test_the_order_of_batches_depends_on_the_seed_alone(make_sequences: Make) -> None:
    windows = training_windows(make_sequences([[1, 2, 3, 4, 5]] * 30), 2)

    def order(seed: int) -> list[int]:
        batches = shuffled_batches(windows, 4, np.random.default_rng(seed))
        return [int(user) for batch in batches for user in batch.user]

    assert order(1) == order(1)
    assert order(1) != order(2)
