"""Histories with noise: events that others made, events that are lost, events out of order.

Each kind takes sequences, cases (one per user at most) and a share from 0 to 1, and gives
sequences in which a user owns the noisy history of the case and, as its last event, the true
target; users and attributes stay. The noise of a higher share holds that of a lower one, and one
seed gives the same noise whatever else is measured.
Shapes: C cases, E events, H events of all true histories.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from decant.features.encode import gap_indices
from decant.features.sequences import Cases, Sequences, history_lengths, ranges

Noisy = tuple[Sequences, Cases]
Noise = Callable[[Sequences, Cases, float, int], Noisy]
PICKS, ROUNDING, ITEMS, TIMES, MOVES = range(5)  # streams of random numbers of one seed
COLUMNS = ("items", "behaviours", "ratings", "target")


class NoiseError(ValueError):
    """Noise that cannot be made; the message says why."""


def kinds(max_length: int) -> dict[str, Noise]:
    """Every kind by name; `max_length`: events of a history that models see."""
    return {"insert": insert, "drop": drop, "shuffle": partial(shuffle, max_length=max_length)}


def insert(sequences: Sequences, chosen: Cases, share: float, seed: int) -> Noisy:
    """Follow a `share` of each history's events with one that somebody else has made.

    It is a copy (item, behaviour, rating) of an event drawn from the training events of all users,
    never one of the target item, at a time between its neighbours. So items come by popularity, as
    they do when an account is shared: a rare item would be easier to tell from the history, and
    its rating and behaviour would have to be made up.

    Raises:
        NoiseError: no training event could be inserted.
    """
    true = histories_of(sequences, chosen)
    picked = true.pick(share, seed)
    after, owner = true.flat[picked], true.owner[picked]
    copied = other_events(sequences, chosen.position[owner], draw(seed, ITEMS, sequences)[after])
    times = np.asarray(sequences.times)
    # within a history the next event is in it, or is the target
    between = times[after] + draw(seed, TIMES, sequences)[after] * (times[after + 1] - times[after])
    order = np.argsort(np.r_[2 * true.flat, 2 * after + 1])
    return rebuilt(
        sequences,
        chosen,
        owner=np.r_[true.owner, owner][order],
        source=np.r_[true.flat, copied][order],
        times=np.r_[times[true.flat], between][order],
    )


def drop(sequences: Sequences, chosen: Cases, share: float, seed: int) -> Noisy:
    """Lose a `share` of each history's events, never all of them."""
    true = histories_of(sequences, chosen)
    kept = ~true.pick(share, seed, spare=1)
    flat = true.flat[kept]
    times = np.asarray(sequences.times)[flat]
    return rebuilt(sequences, chosen, owner=true.owner[kept], source=flat, times=times)


def shuffle(
    sequences: Sequences, chosen: Cases, share: float, seed: int, *, max_length: int
) -> Noisy:
    """Put events out of order: each is moved by up to a `share` of the history that models see.

    Event i of a history of h sorts by i + share · min(h, `max_length`) · z, z uniform in (-1, 1).
    Times stay where they are: what is wrong is what happened when.
    """
    true = histories_of(sequences, chosen)
    reach = share * np.minimum(true.lengths, max_length)[true.owner]
    z = 2 * draw(seed, MOVES, sequences)[true.flat] - 1
    order = np.lexsort((true.place + reach * z, true.owner))
    return rebuilt(
        sequences,
        chosen,
        owner=true.owner,
        source=true.flat[order],
        times=np.asarray(sequences.times)[true.flat],
    )


@dataclass(frozen=True)
class Histories:
    """The events before each case: `flat` index, `owner` (row of the case) and `place` int [H].

    `lengths` int [C].
    """

    flat: np.ndarray
    owner: np.ndarray
    place: np.ndarray
    lengths: np.ndarray
    sequences: Sequences

    def pick(self, share: float, seed: int, *, spare: int = 0) -> np.ndarray:
        """Which events a share falls on, bool [H]: those of a history with the lowest draws.

        `share` · length, rounded up as often as its fraction says; `spare` are left at least.
        """
        dice = draw(seed, ROUNDING, self.sequences)[self.flat[self.place == 0]]
        count = np.minimum(np.floor(share * self.lengths + dice), self.lengths - spare)
        order = np.lexsort((draw(seed, PICKS, self.sequences)[self.flat], self.owner))
        picked = np.zeros(len(self.flat), dtype=bool)
        picked[order] = self.place < count[self.owner]
        return picked


def histories_of(sequences: Sequences, chosen: Cases) -> Histories:
    """The true histories of cases.

    Raises:
        NoiseError: the cases are not of one user each, in order.
    """
    if (np.diff(chosen.user) <= 0).any():
        raise NoiseError("noise is for one case of a user at a time, in the order of users")
    lengths = history_lengths(sequences, chosen)
    flat = ranges(chosen.position - lengths, chosen.position)
    owner = np.repeat(np.arange(len(chosen)), lengths)
    place = flat - np.repeat(chosen.position - lengths, lengths)
    return Histories(flat, owner, place, lengths, sequences)


def other_events(sequences: Sequences, targets: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training event for each draw in [0, 1), flat index; none of the target's item.

    Args:
        targets: flat index of the event that must not be given away or ruled out, int [M].

    Raises:
        NoiseError: there is no other one.
    """
    items, start = np.asarray(sequences.items), np.asarray(sequences.offsets[:-1])
    events = ranges(start, start + np.asarray(sequences.split[:, 0]))
    events = events[np.argsort(items[events], kind="stable")]
    first = np.searchsorted(items[events], items[targets], side="left")
    own = np.searchsorted(items[events], items[targets], side="right") - first
    if (own == len(events)).any():
        raise NoiseError("no events to insert: training has none of another item than the target")
    number = (draws * (len(events) - own)).astype(np.int64)
    return events[np.where(number >= first, number + own, number)]


def draw(seed: int, stream: int, sequences: Sequences) -> np.ndarray:
    """A number in [0, 1) for every event, float [E]; the same for all shares and cases."""
    return np.random.default_rng([seed, stream]).random(len(sequences.items))


def rebuilt(
    sequences: Sequences, chosen: Cases, *, owner: np.ndarray, source: np.ndarray, times: np.ndarray
) -> Noisy:
    """Sequences of these events, each case's followed by its target, and the cases in them.

    Args:
        owner: row of the case, ascending; source: flat index of the event that is copied; times:
            when it is said to have happened. Gaps follow from the times. int, int, float [K]
    """
    case_rows = np.arange(len(chosen))
    order = np.argsort(np.r_[owner, case_rows], kind="stable")
    true = np.asarray(sequences.gaps)
    gaps = np.r_[gap_indices(owner, times), true[chosen.position]][order].astype(true.dtype)
    source = np.r_[source, chosen.position][order]
    length = np.zeros(sequences.users, dtype=np.int64)
    length[chosen.user] = np.bincount(owner, minlength=len(chosen)) + 1
    offsets = np.r_[0, length.cumsum()]
    before = np.maximum(length - 1, 0)
    made = Sequences(
        **{name: np.asarray(getattr(sequences, name))[source] for name in COLUMNS},
        offsets=offsets,
        times=np.r_[times, np.asarray(sequences.times)[chosen.position]][order],
        gaps=gaps,
        attributes=sequences.attributes,
        split=np.stack([before, before], axis=1),
    )
    return made, Cases(chosen.user, offsets[chosen.user + 1] - 1)
