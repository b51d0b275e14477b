"""The data-generating process of the demo shop; it is known, so the best ranking is known too.

A user follows `INTERESTS_PER_USER` of `INTERESTS` interests and interleaves them. The next item
belongs to the interest of the previous one (`STAYS`) or to one of the user's, drawn by weight. It
either continues the chain of *that* interest (one of four successors of the last item the user
took from it: two are shared by all users, one depends on gender, one on age) or is drawn by
popularity within the interest. No item is taken twice.
"""

from dataclasses import dataclass

import numpy as np

INTERESTS = 8
INTERESTS_PER_USER = 3
GROUPS = 4  # women and men, under 35 and others
SUCCESSORS = 4
STAYS = 0.65
CONTINUES = 0.8
SUCCESSOR_WEIGHTS = np.array([0.3, 0.15, 0.3, 0.25])  # two shared by all, by gender, by age
INTEREST_WEIGHTS = np.array([0.45, 0.35, 0.20])


@dataclass(frozen=True)
class Process:
    """Interests, popularity and successors of items.

    `interest` int [N]: the interest of each item. `popularity` float [N]: sums to 1 within each
    interest. `successors` int [GROUPS, N, SUCCESSORS]: items of the same interest.
    """

    interest: np.ndarray
    popularity: np.ndarray
    successors: np.ndarray

    @property
    def items(self) -> int:
        return len(self.interest)


@dataclass
class Walk:
    """The states of users.

    `taken` bool [U, N]; `last` int [U, INTERESTS_PER_USER]: the last item of each interest, -1
    for none; `current` int [U]: the interest of the last item, -1 for none.
    """

    taken: np.ndarray
    last: np.ndarray
    current: np.ndarray

    @staticmethod
    def start(users: int, items: int) -> "Walk":
        """The state before the first item."""
        last = np.full((users, INTERESTS_PER_USER), -1)
        return Walk(np.zeros((users, items), bool), last, np.full(users, -1))

    def subset(self, users: np.ndarray) -> "Walk":
        """A copy of the states of some users."""
        return Walk(self.taken[users], self.last[users], self.current[users])


def draw_process(items: int, rng: np.random.Generator) -> Process:
    """Draw a process with `items` items, spread evenly over the interests."""
    interest = np.arange(items) % INTERESTS
    popularity = 1.0 / (1.0 + rng.permutation(items) // INTERESTS) ** 0.8
    successors = np.empty((GROUPS, items, SUCCESSORS), dtype=np.int64)
    for k in range(INTERESTS):
        members = np.flatnonzero(interest == k)
        popularity[members] /= popularity[members].sum()
        for item in members:
            others = rng.permutation(members[members != item])
            successors[:, item, :2] = others[:2]
            for group in range(GROUPS):
                woman, young = divmod(group, 2)
                successors[group, item, 2:] = others[[2 + woman, (4 + young) % len(others)]]
    return Process(interest, popularity, successors)


def draw_interests(users: int, rng: np.random.Generator) -> np.ndarray:
    """Each user's interests, int [U, INTERESTS_PER_USER], the strongest first."""
    return rng.random((users, INTERESTS)).argsort(axis=1)[:, :INTERESTS_PER_USER]


def next_item_distribution(
    process: Process, group: np.ndarray, interests: np.ndarray, walk: Walk
) -> np.ndarray:
    """The probability of each next item, float [U, N], rows sum to 1.

    `group` int [U]; `interests` int [U, INTERESTS_PER_USER].
    """
    users = np.arange(len(group))
    total = np.zeros((len(group), process.items))
    for slot in range(INTERESTS_PER_USER):
        free = ~walk.taken
        drawn = process.popularity * (process.interest == interests[:, slot, None]) * free
        drawn /= np.maximum(drawn.sum(axis=1, keepdims=True), 1e-300)
        last = walk.last[:, slot]
        chain = np.zeros_like(total)
        after = process.successors[group, last]
        np.add.at(chain, (users[:, None], after), SUCCESSOR_WEIGHTS)
        chain *= free * (last >= 0)[:, None]
        mass = chain.sum(axis=1, keepdims=True)
        chain /= np.maximum(mass, 1e-300)
        continues = CONTINUES * (mass > 0)
        stays = np.where(walk.current < 0, INTEREST_WEIGHTS[slot], walk.current == slot)
        weight = STAYS * stays + (1 - STAYS) * INTEREST_WEIGHTS[slot]
        total += weight[:, None] * (continues * chain + (1 - continues) * drawn)
    return total / total.sum(axis=1, keepdims=True)


def take(
    process: Process, interests: np.ndarray, walk: Walk, users: np.ndarray, chosen: np.ndarray
) -> None:
    """Update `walk` in place: each of `users` has taken its item of `chosen`."""
    walk.taken[users, chosen] = True
    slot = (interests[users] == process.interest[chosen][:, None]).argmax(axis=1)
    walk.last[users, slot] = chosen
    walk.current[users] = slot


def longest_walk(items: int) -> int:
    """Maximum number of steps that still leaves a user a choice."""
    return max(2, items * INTERESTS_PER_USER // (INTERESTS * 2))
