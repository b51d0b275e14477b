"""Noise in histories: inserted events of other users, lost events, events out of order.

Each kind takes sequences, cases (at most one per user) and a share from 0 to 1. It returns
sequences in which each user has the noisy history of the case, followed by the true target; users
and attributes stay. The noise of a higher share includes that of a lower one, and a seed always
gives the same noise.
Shapes: C cases, E events, H events of all true histories.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from decant.features.encode import basket_numbers, gap_indices
from decant.features.sequences import Cases, Sequences, history_lengths, ranges

Noisy = tuple[Sequences, Cases]
Noise = Callable[[Sequences, Cases, float, int], Noisy]
PICKS, ROUNDING, ITEMS, TIMES, MOVES = range(5)  # streams of random numbers of one seed
COLUMNS = ("items", "behaviours", "ratings", "target")


class NoiseError(ValueError):
    """Noise cannot be generated; the message says why."""


def kinds(max_length: int) -> dict[str, Noise]:
    """All kinds of noise by name; `max_length`: events of a history that models read."""
    return {"insert": insert, "drop": drop, "shuffle": partial(shuffle, max_length=max_length)}


def insert(sequences: Sequences, chosen: Cases, share: float, seed: int) -> Noisy:
    """Insert an event of another user after a `share` of each history's events.

    It is a copy (item, behaviour, rating) of an event drawn from the training events of all users,
    except those of the target item, with a time between its neighbours. Items are thus inserted by
    popularity, as when an account is shared: uniformly drawn items would be easier to recognise,
    and their ratings and behaviours would have to be invented.

    Raises:
        NoiseError: no training event could be inserted.
    """
    true = histories_of(sequences, chosen)
    picked = true.pick(share, seed)
    after, owner = true.flat[picked], true.owner[picked]
    copied = other_events(sequences, chosen.position[owner], draw(seed, ITEMS, sequences)[after])
    times = np.asarray(sequences.times)
    # the next event is in the same history, or is the target
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
    """Disorder events: each is moved by up to a `share` of the history that models read.

    Event i of a history of h sorts by i + share · min(h, `max_length`) · z, z uniform in (-1, 1).
    Times stay in place: the events are assigned to wrong times.
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
        """Select a share of each history's events, bool [H]: those with the lowest draws.

        Their number, `share` · length, is rounded at random with the right mean; at least `spare`
        events are not selected.
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
        NoiseError: the cases are not sorted by user with one case per user.
    """
    if (np.diff(chosen.user) <= 0).any():
        raise NoiseError("noise needs one case per user, sorted by user")
    lengths = history_lengths(sequences, chosen)
    flat = ranges(chosen.position - lengths, chosen.position)
    owner = np.repeat(np.arange(len(chosen)), lengths)
    place = flat - np.repeat(chosen.position - lengths, lengths)
    return Histories(flat, owner, place, lengths, sequences)


def other_events(sequences: Sequences, targets: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A training event for each draw in [0, 1), flat index, of another item than the target's.

    Args:
        targets: flat index of the target, which must be neither revealed nor ruled out, int [M].

    Raises:
        NoiseError: there are no events of other items.
    """
    items, start = np.asarray(sequences.items), np.asarray(sequences.offsets[:-1])
    events = ranges(start, start + np.asarray(sequences.split[:, 0]))
    events = events[np.argsort(items[events], kind="stable")]
    first = np.searchsorted(items[events], items[targets], side="left")
    own = np.searchsorted(items[events], items[targets], side="right") - first
    if (own == len(events)).any():
        raise NoiseError("no events to insert: all training events are of the target item")
    number = (draws * (len(events) - own)).astype(np.int64)
    return events[np.where(number >= first, number + own, number)]


def draw(seed: int, stream: int, sequences: Sequences) -> np.ndarray:
    """A random number in [0, 1) per event, float [E]; the same for all shares and cases."""
    return np.random.default_rng([seed, stream]).random(len(sequences.items))


def rebuilt(
    sequences: Sequences, chosen: Cases, *, owner: np.ndarray, source: np.ndarray, times: np.ndarray
) -> Noisy:
    """Sequences of these events with the target after those of each case, and the new cases.

    Args:
        owner: row of the case, int [K], ascending.
        source: flat index of the copied event, int [K].
        times: its new time, float [K]; gaps follow from the times.
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
    whose = np.r_[chosen.user[owner], chosen.user][order]
    times = np.r_[times, np.asarray(sequences.times)[chosen.position]][order]
    sets = bool((np.diff(sequences.baskets) == 0).any())
    made = Sequences(
        **{name: np.asarray(getattr(sequences, name))[source] for name in COLUMNS},
        offsets=offsets,
        times=times,
        gaps=gaps,
        baskets=basket_numbers(whose, times, sets),
        attributes=sequences.attributes,
        split=np.stack([before, before], axis=1),
    )
    return made, Cases(chosen.user, offsets[chosen.user + 1] - 1)
