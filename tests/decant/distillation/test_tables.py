import numpy as np
import pytest
import torch
from scipy import sparse

from decant.distillation.tables import coded, factors, level, pack, popularity, split_listed
from decant.evaluation.baselines import mixture
from decant.evaluation.baselines.mixture import Counts
from decant.features.sequences import TEST, cases, histories, training_counts
from decant.models.experts import CODES, LAGS, LEVELS, Experts, ExpertShape
from decant.params.types import EXPERTS
from tests.fixtures.known_data import make_sequences

ITEMS = 40


def some_table(seed: int = 0, density: float = 0.5) -> sparse.csr_array:
    """Shares of what follows each item; nothing follows item 3, and nothing the padding."""
    rng = np.random.default_rng(seed)
    dense = rng.random((ITEMS + 1, ITEMS + 1)) ** 4 * (rng.random((ITEMS + 1,) * 2) < density)
    dense[[0, 3]] = dense[:, 0] = 0
    return sparse.csr_array(dense / np.maximum(dense.sum(1, keepdims=True), 1e-9))


def some_counts() -> Counts:
    popular = np.random.default_rng(9).random(ITEMS + 1)
    popular[0] = 0
    return Counts(*(some_table(seed) for seed in range(4)), popular / popular.sum())


def some_popularity() -> np.ndarray:
    """Of items and padding; none is 0, as none of the stored levels is."""
    return np.maximum(some_counts().popularity, 1e-9)


def known_after(experts: Experts, item: int) -> np.ndarray:
    """What the tables `basket` and `previous` say after one item, float [2, N + 1]."""
    both = [
        experts.answer({"items": torch.tensor([[item]]), LAGS: torch.tensor([[lag]])})[0][0, place]
        for place, lag in ((0, 1), (1, 2))
    ]
    return torch.stack(both).numpy()


@pytest.mark.parametrize(("successors", "rank"), [(40, 0), (3, 40), (1, 40), (10, 35)])
def test_lists_and_factors_together_keep_a_table(successors: int, rank: int) -> None:
    experts = Experts(ExpertShape(("basket", "previous"), successors, rank, False), ITEMS)
    counts = some_counts()
    pack(experts, counts, np.ones(ITEMS + 1))
    for item in (1, 3, 17, 40):
        known = known_after(experts, item)
        exact = np.stack([counts.basket[[item]].toarray()[0], counts.previous[[item]].toarray()[0]])
        assert known == pytest.approx(exact, rel=2 ** (0.5 / LEVELS) - 1, abs=0.02)


def test_what_the_lists_leave_out_is_kept_by_factors_as_far_as_their_rank_goes() -> None:
    counts, errors = some_counts(), []
    for rank in (0, 20, 40):
        experts = Experts(ExpertShape(("basket", "previous"), 2, rank, False), ITEMS)
        pack(experts, counts, np.ones(ITEMS + 1))
        known = np.stack([known_after(experts, item)[0] for item in range(1, ITEMS + 1)])
        errors.append(((known - counts.basket.toarray()[1:]) ** 2).sum())
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.1 * errors[0]


def test_the_most_probable_successors_are_listed_and_leave_the_rest() -> None:
    table = sparse.csr_array(
        np.array([[0, 0, 0, 0], [0, 0.1, 0.6, 0.3], [0, 0, 0, 0], [0, 1, 0, 0]])
    )
    levels, places, rest = split_listed(table, 2)
    assert places.tolist() == [[0, 0], [2, 3], [0, 0], [1, 0]]
    assert levels[3].tolist() == [255, 0]
    assert rest.toarray()[1].tolist() == [0, 0.1, 0, 0]
    assert rest.nnz == 1


def test_levels_are_within_half_a_step_and_what_is_too_small_is_none() -> None:
    shares = np.array([1.0, 0.5, 0.3, 1e-4, 1e-12, 0.0])
    stored = level(shares)
    assert stored[[0, 1]].tolist() == [255, 255 - LEVELS]
    assert stored[-2:].tolist() == [0, 0]
    back = 2 ** ((stored[:4] - 255) / LEVELS)
    assert np.abs(np.log2(back / shares[:4])).max() <= 0.5 / LEVELS + 1e-9


def test_factors_are_the_best_of_their_rank() -> None:
    """Against a full decomposition of the scaled tables."""
    tables, popular = [some_table(1), some_table(2)], some_popularity()
    root = np.sqrt(popular)
    left, right = factors(tables, popular, 10)
    right = right * root
    scaled = np.vstack([np.diag(root) @ t.toarray() @ np.diag(1 / root) for t in tables])
    approximated = np.vstack(
        [np.diag(root) @ left[:, n] @ right @ np.diag(1 / root) for n in range(2)]
    )
    missed = np.linalg.norm(scaled - approximated)
    values = np.linalg.svd(scaled, compute_uv=False)
    assert missed == pytest.approx(np.sqrt((values[10:] ** 2).sum()), rel=1e-6)
    assert np.abs(left).max() <= 1 and not right[:, 0].any()


def test_factors_of_a_large_catalogue_are_the_same_as_of_a_full_decomposition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, popular = [some_table(1)], some_popularity()
    exact = factors(tables, popular, 6)
    monkeypatch.setattr("decant.distillation.tables.DENSE", 1)
    for one, other in zip(exact, factors(tables, popular, 6), strict=True):
        assert one == pytest.approx(other, abs=1e-8)


def test_more_factors_than_a_catalogue_has_are_zero() -> None:
    table = sparse.csr_array(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0]]))
    popular = np.array([0.1, 0.25, 0.5])
    left, right = factors([table], popular, 9)
    assert left.shape == (3, 1, 9) and right.shape == (9, 3)
    assert (left[:, 0] @ right * np.sqrt(popular))[1:] == pytest.approx(table.toarray()[1:])


def test_codes_are_within_half_a_step_of_the_scale_of_their_row() -> None:
    left = np.random.default_rng(0).normal(size=(5, 2, 7))
    left /= np.abs(left).max()
    left[2, 1] = 0
    scale, codes = coded(left)
    step = 2 ** ((scale - 255) / LEVELS) / CODES
    assert np.abs(codes * step[..., None] - left).max() <= step.max() / 2 + 1e-12
    assert np.abs(codes).max() == CODES and not codes[2, 1].any()


def test_an_item_without_events_is_as_popular_as_the_rarest() -> None:
    shares = np.array([0, 0.6, 0.3, 0.09, 0.01])
    trained = np.array([0.0, 60, 30, 9, 0])
    popular = popularity(shares, trained)
    assert popular[4] == popular[3]
    assert popular.sum() == pytest.approx(1)
    assert popularity(shares, np.ones(5)) == pytest.approx(shares)


@pytest.mark.parametrize("baskets", [False, True])
def test_experts_with_long_lists_know_what_the_mixture_of_counts_knows(baskets: bool) -> None:
    """Within half a level of a stored probability. By design `previous` reads all baskets, and
    `chain` fades by baskets, which are single events without them."""
    rng = np.random.default_rng(0)
    users = [rng.integers(1, 13, 12).tolist() for _ in range(40)]
    numbers = np.arange(480) // (3 if baskets else 1)
    split_at = np.tile([8, 10], (40, 1))
    sequences = make_sequences(users, split=split_at, baskets=numbers)
    counts = mixture.count(sequences, 12)
    experts = Experts(ExpertShape(EXPERTS, 12, 0, clock=False), 12)
    pack(experts, counts, training_counts(sequences, 12))
    chosen = cases(sequences, TEST, 2)
    arrays = histories(sequences, chosen, ("items", *experts.shape.inputs), 12)
    ours, _ = experts.answer({name: torch.from_numpy(array) for name, array in arrays.items()})
    theirs = mixture.distributions(counts, sequences, chosen, 12)
    compared = 0
    for name, expected in zip(mixture.PARTS, theirs, strict=True):
        if name in experts.shape.asked and name not in (["previous", "chain"][: 1 + baskets]):
            answered = ours[:, experts.shape.asked.index(name)].numpy()
            np.testing.assert_allclose(answered[:, 1:], expected[:, 1:], rtol=0.05, atol=1e-6)
            compared += bool(expected.any())
    assert compared == 4
    np.testing.assert_allclose(experts.popularity()[1:], counts.popularity[1:], rtol=0.05)
