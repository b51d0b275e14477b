"""The data-generating process of the demo shop; it is known, so the best ranking is known too.

A user follows `INTERESTS_PER_USER` of `INTERESTS` interests and interleaves them: within a visit
the next item belongs to the interest of the previous one (`STAYS`) or to one of the user's, drawn
by weight. It mostly follows the last item that the user took from *that* interest (`CONTINUES`).
What follows depends on what was done: after a view something similar, an item of the same kind;
after a cart or a purchase what goes with it, an item of another kind, which depends on gender. In
both cases it is probably (`MATCHES` to 1) of the style after that item's, for younger users of the
second after it. Otherwise it is drawn by popularity within the interest.

A visit often starts with one of the user's favourites (`RETURNS`), drawn by the square of how often
they took it. No item is taken twice in one visit.
"""

from dataclasses import dataclass

import numpy as np

INTERESTS = 8
INTERESTS_PER_USER = 3
KINDS = 5  # in each interest
STYLES = 5
GENDERS = 2
GROUPS = 4  # women and men, under 35 and others: 2 · woman + young
VIEW, CART, PURCHASE = 0, 1, 2  # what is done with an item
DEEDS = np.array([0.65, 0.15, 0.2])  # their probabilities
VISIT = 5  # mean number of steps
RETURNS = 0.7
STAYS = 0.85
CONTINUES = 0.85
MATCHES = 12.0
INTEREST_WEIGHTS = np.array([0.45, 0.35, 0.20])


@dataclass(frozen=True)
class Process:
    """What the items are, and what goes with what.

    `interest`, `kind`, `style` int [N]; kinds are numbered through all interests. `popularity`
    float [N]: sums to 1 within each interest. `partner` int [GENDERS, INTERESTS · KINDS]: the kind,
    of the same interest, that goes with a kind.
    """

    interest: np.ndarray
    kind: np.ndarray
    style: np.ndarray
    popularity: np.ndarray
    partner: np.ndarray

    @property
    def items(self) -> int:
        return len(self.interest)


@dataclass
class Walk:
    """The states of users.

    `taken` bool [U, N]: in this visit; `often` int [U, N]: how many times in all; `last` int
    [U, INTERESTS_PER_USER]: the last item of each interest, -1 for none, and `chosen` bool, alike:
    whether it was put into the cart or bought; `current` int [U]: the interest of this visit's last
    item, -1 for none.
    """

    taken: np.ndarray
    often: np.ndarray
    last: np.ndarray
    chosen: np.ndarray
    current: np.ndarray

    @staticmethod
    def start(users: int, items: int) -> "Walk":
        """The state before the first item."""
        slots = (users, INTERESTS_PER_USER)
        return Walk(
            np.zeros((users, items), bool),
            np.zeros((users, items), np.int64),
            np.full(slots, -1),
            np.zeros(slots, bool),
            np.full(users, -1),
        )

    def subset(self, users: np.ndarray) -> "Walk":
        """A copy of the states of some users."""
        parts = (self.taken, self.often, self.last, self.chosen, self.current)
        return Walk(*(part[users] for part in parts))

    def end_visit(self, users: np.ndarray) -> None:
        """End the visits of some users, in place."""
        self.taken[users] = False
        self.current[users] = -1


def draw_process(items: int, rng: np.random.Generator) -> Process:
    """Draw a process with `items` items, spread evenly over interests, kinds and styles."""
    number = np.arange(items)
    interest = number % INTERESTS
    kind = interest * KINDS + number // INTERESTS % KINDS
    style = (number // (INTERESTS * KINDS) + rng.integers(0, STYLES, INTERESTS * KINDS)[kind]) % (
        STYLES
    )
    popularity = 1.0 / (1.0 + rng.permutation(items) / INTERESTS) ** 0.8  # no two are alike
    popularity /= np.bincount(interest, popularity)[interest]
    partner = np.empty((GENDERS, INTERESTS * KINDS), dtype=np.int64)
    for k in range(INTERESTS):
        order = rng.permutation(KINDS) + k * KINDS
        for gender in range(GENDERS):
            partner[gender, order] = np.roll(order, gender + 1)
    return Process(interest, kind, style, popularity, partner)


def draw_interests(users: int, rng: np.random.Generator) -> np.ndarray:
    """Each user's interests, int [U, INTERESTS_PER_USER], the strongest first."""
    return rng.random((users, INTERESTS)).argsort(axis=1)[:, :INTERESTS_PER_USER]


def next_item_distribution(
    process: Process, group: np.ndarray, interests: np.ndarray, walk: Walk
) -> np.ndarray:
    """The probability of each next item, float [U, N], rows sum to 1.

    `group` int [U]; `interests` int [U, INTERESTS_PER_USER].
    """
    total = np.zeros((len(group), process.items))
    available = process.popularity * ~walk.taken
    for slot in range(INTERESTS_PER_USER):
        drawn = _shares(available * (process.interest == interests[:, slot, None]))
        after = follows(process, group, walk.last[:, slot], walk.chosen[:, slot])
        chain = _shares(available * after)
        continues = CONTINUES * chain.any(axis=1, keepdims=True)
        stays = np.where(walk.current < 0, INTEREST_WEIGHTS[slot], walk.current == slot)
        weight = STAYS * stays + (1 - STAYS) * INTEREST_WEIGHTS[slot]
        total += weight[:, None] * (continues * chain + (1 - continues) * drawn)
    total = _shares(total)
    known = walk.often.any(axis=1) & (walk.current < 0)
    returns = RETURNS * known[:, None]
    return np.asarray(returns * _shares(walk.often**2) + (1 - returns) * total)


def follows(
    process: Process, group: np.ndarray, last: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """How well each item follows the last one of an interest, float [U, N]; 0: not at all.

    `last` int [U]: -1 for none; `chosen` bool [U]: whether it was put into the cart or bought.
    """
    woman, young = np.divmod(group, 2)
    kind = np.where(chosen, process.partner[woman, process.kind[last]], process.kind[last])
    style = (process.style[last] + 1 + young) % STYLES
    match = np.where(process.style == style[:, None], MATCHES, 1.0)
    return match * (process.kind == kind[:, None]) * (last >= 0)[:, None]


def take(
    process: Process,
    interests: np.ndarray,
    walk: Walk,
    users: np.ndarray,
    items: np.ndarray,
    deed: np.ndarray,
) -> None:
    """Update `walk` in place: each of `users` has done `deed` with its item of `items`."""
    walk.taken[users, items] = True
    walk.often[users, items] += 1
    slot = (interests[users] == process.interest[items][:, None]).argmax(axis=1)
    walk.last[users, slot] = items
    walk.chosen[users, slot] = deed >= CART
    walk.current[users] = slot


def longest_visit(items: int) -> int:
    """Maximum number of steps of a visit that still leaves a user a choice."""
    return max(2, items * INTERESTS_PER_USER // (INTERESTS * 2))


def _shares(weights: np.ndarray) -> np.ndarray:
    """Weights [U, N] → shares of each row; rows without any stay 0."""
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300))
