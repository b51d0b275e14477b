"""Our metrics are those of an independent library, `ir_measures`, on whole catalogues."""

from collections.abc import Callable

import ir_measures
import numpy as np
import pytest
from ir_measures import P, R, Success, nDCG

from decant.evaluation.metrics import hit, ndcg, quality, rank_targets, user_means
from decant.evaluation.scoring import rank
from decant.features.sequences import TEST, Sequences, cases
from decant.runtime.ranking import top_items

C, N = 60, 40
CLOSE = 1e-6
Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


def theirs(scores: np.ndarray, masked: np.ndarray, targets: np.ndarray, k: int) -> list[dict]:
    """Per case, by metric: every item that is not masked is ranked, the target is relevant."""
    run = {
        str(row): {str(i): float(scores[row, i]) for i in np.flatnonzero(~masked[row])}
        for row in range(len(targets))
    }
    relevant = {str(row): {str(target): 1} for row, target in enumerate(targets)}
    measures = {"ndcg": nDCG @ k, "hr": Success @ k, "recall": R @ k, "precision": P @ k}
    result: list[dict] = [{} for _ in targets]
    for value in ir_measures.iter_calc(list(measures.values()), relevant, run):
        name = next(n for n, measure in measures.items() if measure == value.measure)
        result[int(value.query_id)][name] = value.value
    return result


@pytest.fixture(params=range(3))
def ranked(request: pytest.FixtureRequest) -> Scores:
    """Scores without ties, what is masked (for every third case nothing), and targets."""
    rng = np.random.default_rng(request.param)
    scores = rng.permuted(np.tile(np.arange(N + 1.0), (C, 1)), axis=1)
    masked = rng.random((C, N + 1)) < 0.3
    targets = rng.integers(1, N + 1, C)
    masked[::3] = False
    masked[:, 0] = True
    masked[np.arange(C), targets] = False
    return scores, masked, targets


@pytest.mark.parametrize("k", [1, 5, 10, 20, N])
def test_every_case_has_their_figures(ranked: Scores, k: int) -> None:
    ranks = rank_targets(*ranked)
    expected = theirs(*ranked, k)
    for row in range(C):
        one = ranks[row : row + 1]
        assert ndcg(one, k)[0] == pytest.approx(expected[row]["ndcg"], abs=CLOSE)
        assert hit(one, k)[0] == pytest.approx(expected[row]["hr"], abs=CLOSE)


@pytest.mark.parametrize("k", [1, 5, 10, 20])
def test_the_means_are_theirs_where_each_case_is_a_users(ranked: Scores, k: int) -> None:
    scores, masked, _ = ranked
    top, users = top_items(scores, masked, k), np.arange(C)
    result = quality(rank_targets(*ranked), top, users, np.ones(N + 1), k)
    expected = theirs(*ranked, k)
    for name in ("ndcg", "hr", "recall", "precision"):
        mean = np.mean([case[name] for case in expected])
        assert result[name] == pytest.approx(mean, abs=CLOSE), name


def test_the_means_over_users_are_theirs(ranked: Scores) -> None:
    users = np.random.default_rng(1).integers(0, 15, C)
    expected = np.array([case["ndcg"] for case in theirs(*ranked, 10)])
    result, means = user_means(ndcg(rank_targets(*ranked), 10), users)
    assert result.tolist() == sorted(set(users.tolist()))
    for user, mean in zip(result, means, strict=True):
        assert mean == pytest.approx(expected[users == user].mean(), abs=CLOSE)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_whole_evaluation_has_their_figures(
    make_sequences: Callable[..., Sequences], exclude_seen: bool
) -> None:
    """From sequences to figures: the run that they judge is made without our masks."""
    rng = np.random.default_rng(4)
    sequences = make_sequences([(rng.permutation(N)[:12] + 1).tolist() for _ in range(30)])
    held = cases(sequences, TEST, 1)
    scores = rng.permuted(np.tile(np.arange(N + 1.0), (len(held), 1)), axis=1)
    by_user = lambda s, chosen: scores[chosen.user]  # noqa: E731
    ranking = rank(by_user, sequences, held, N, k=10, exclude_seen=exclude_seen)
    masked = np.zeros_like(scores, dtype=bool)
    masked[:, 0] = True
    for row, (user, position) in enumerate(zip(held.user, held.position, strict=True)):
        if exclude_seen:
            masked[row, sequences.items[sequences.offsets[user] : position]] = True
    expected = theirs(scores, masked, sequences.items[held.position], 10)
    result = quality(ranking.ranks, ranking.top, held.user, np.ones(N + 1), 10)
    for name in ("ndcg", "hr", "recall", "precision"):
        assert result[name] == pytest.approx(np.mean([e[name] for e in expected]), abs=CLOSE)


def test_a_hit_is_in_the_top_that_is_recommended(ranked: Scores) -> None:
    scores, masked, targets = ranked
    top = top_items(scores, masked, 10)
    inside = (top == targets[:, None]).any(axis=1)
    assert inside.tolist() == hit(rank_targets(*ranked), 10).astype(bool).tolist()
