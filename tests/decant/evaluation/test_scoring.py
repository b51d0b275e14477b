from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation import scoring
from decant.evaluation.scoring import OnnxScorer, rank
from decant.features.sequences import Cases, Sequences

ITEMS = 5
Batch = dict[str, np.ndarray]


@pytest.fixture
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    return make_sequences([[1, 2, 3], [4, 4, 5], [2, 1]], attributes=[[1], [2], [3]])


@pytest.fixture
def last() -> Cases:
    """Predict 3, 5 and 1."""
    return Cases(np.array([0, 1, 2]), np.array([2, 5, 7]))


def by_index(sequences: Sequences, chosen: Cases) -> np.ndarray:
    """Lower indices are better."""
    return np.broadcast_to(-np.arange(ITEMS + 1.0), (len(chosen), ITEMS + 1))


def test_seen_items_are_no_competitors(sequences: Sequences, last: Cases) -> None:
    ranking = rank(by_index, sequences, last, ITEMS, k=3, exclude_seen=True)
    assert ranking.ranks.tolist() == [1, 4, 1]
    assert ranking.top.tolist() == [[3, 4, 5], [1, 2, 3], [1, 3, 4]]


def test_seen_items_compete_where_repeats_are_normal(sequences: Sequences, last: Cases) -> None:
    ranking = rank(by_index, sequences, last, ITEMS, k=2, exclude_seen=False)
    assert ranking.ranks.tolist() == [3, 5, 1]
    assert ranking.top.tolist() == [[1, 2]] * 3


def test_batches_make_no_difference(
    sequences: Sequences, last: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rank(by_index, sequences, last, ITEMS, k=3, exclude_seen=True)
    monkeypatch.setattr(scoring, "BATCH", 2)
    done: list[int] = []
    pieces = rank(by_index, sequences, last, ITEMS, k=3, exclude_seen=True, progress=done.append)
    assert pieces.ranks.tolist() == whole.ranks.tolist()
    assert pieces.top.tolist() == whole.top.tolist()
    assert done == [2, 1]


def test_no_cases_have_no_ranks(sequences: Sequences, last: Cases) -> None:
    ranking = rank(by_index, sequences, last.take(np.arange(0)), ITEMS, k=3, exclude_seen=True)
    assert ranking.ranks.shape == (0,)
    assert ranking.top.shape == (0, 3)


class Recording:
    """A graph that keeps what it is given; an item's score is how often it is in the batch."""

    inputs = ("items", "attributes")

    def __init__(self) -> None:
        self.given: list[Batch] = []

    def scores(self, batch: Batch) -> np.ndarray:
        self.given.append(batch)
        return np.stack([np.bincount(row, minlength=ITEMS + 1) for row in batch["items"]])


def test_a_graph_is_given_batches_padded_to_the_longest(sequences: Sequences, last: Cases) -> None:
    graph = Recording()
    OnnxScorer(graph, 4)(sequences, last)  # type: ignore[arg-type]
    assert graph.given[0]["items"].tolist() == [[1, 2], [4, 4], [0, 2]]
    assert graph.given[0]["attributes"].tolist() == [[1], [2], [3]]


def test_as_served_it_is_given_one_case_at_a_time_and_no_padding(
    sequences: Sequences, last: Cases
) -> None:
    graph = Recording()
    scores = OnnxScorer(graph, 4, as_served=True)(sequences, last)  # type: ignore[arg-type]
    assert [b["items"].tolist() for b in graph.given] == [[[1, 2]], [[4, 4]], [[2]]]
    assert [b["attributes"].tolist() for b in graph.given] == [[[1]], [[2]], [[3]]]
    assert scores.tolist() == [[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 2, 0], [0, 0, 1, 0, 0, 0]]


def test_as_served_a_long_history_is_cut(sequences: Sequences, last: Cases) -> None:
    graph = Recording()
    OnnxScorer(graph, 1, as_served=True)(sequences, last)  # type: ignore[arg-type]
    assert [b["items"].tolist() for b in graph.given] == [[[2]], [[4]], [[2]]]
