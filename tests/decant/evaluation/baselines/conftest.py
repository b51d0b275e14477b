"""A small random log, and what a reader without our code would take from it."""

from collections.abc import Callable

import numpy as np
import pytest

from decant.features.sequences import TEST, Cases, Sequences, cases

ITEMS = 9
Score = Callable[[list[int], int], float]


@pytest.fixture
def items() -> int:
    """The size of the catalogue."""
    return ITEMS


@pytest.fixture(params=range(4))
def sequences(
    request: pytest.FixtureRequest, make_sequences: Callable[..., Sequences]
) -> Sequences:
    """Random users; some items come again and again."""
    rng = np.random.default_rng(request.param)
    return make_sequences([rng.integers(1, ITEMS + 1, n).tolist() for n in (14, 3, 6, 20, 2, 9)])


@pytest.fixture
def held(sequences: Sequences) -> Cases:
    """The test cases."""
    return cases(sequences, TEST, 4)


@pytest.fixture
def training(sequences: Sequences) -> list[list[int]]:
    """Each user's training items."""
    pairs = zip(sequences.offsets[:-1], sequences.split[:, 0], strict=True)
    return [sequences.items[start : start + count].tolist() for start, count in pairs]


@pytest.fixture
def pasts(sequences: Sequences, held: Cases) -> list[list[int]]:
    """The items before each case."""
    pairs = zip(held.user, held.position, strict=True)
    return [sequences.items[sequences.offsets[user] : end].tolist() for user, end in pairs]


@pytest.fixture
def naive(pasts: list[list[int]]) -> Callable[[Score], np.ndarray]:
    """score(history, item) of every case and item, [C, N]."""
    return lambda score: np.array([[score(p, b) for b in range(1, ITEMS + 1)] for p in pasts])


@pytest.fixture
def seen(training: list[list[int]]) -> np.ndarray:
    """1 where a user has had an item in training, float [U, N + 1]."""
    table = np.zeros((len(training), ITEMS + 1))
    for user, taken in enumerate(training):
        table[user, taken] = 1
    return table


@pytest.fixture
def checkerboard(make_sequences: Callable[..., Sequences]) -> Sequences:
    """Users take odd items or even ones, each all of its colour but one; that one is held out."""
    users = []
    for colour in (1, 2):
        board = list(range(colour, 21, 2))
        for missing in board:
            others = [item for item in board if item != missing]
            users.append([*others, missing, missing])
    return make_sequences(users)
