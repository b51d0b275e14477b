"""What every traditional model must do, whichever it is."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation import baselines
from decant.evaluation.baselines import (
    BASELINES,
    CONTENT,
    COUNTS,
    HYBRID,
    KINDS,
    NAMES,
    REPEATING,
    applicable,
    factors,
)
from decant.evaluation.baselines.hybrid import mix
from decant.evaluation.baselines.mixture import PARTS, count, mixture
from decant.evaluation.scoring import Scorer, rank
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases

ITEMS = 9
VECTORS = np.random.default_rng(3).normal(size=(ITEMS + 1, 4))


def fit(name: str, sequences: Sequences, items: int = ITEMS) -> Scorer:
    if name == HYBRID:
        return mix(fit("markov", sequences, items), fit("ials", sequences, items), 0.5)
    if name == COUNTS:
        return mixture(count(sequences, items), dict.fromkeys(PARTS, 1 / len(PARTS)), items)
    return applicable(items, VECTORS[: items + 1], False)[0][name](sequences, items)


@pytest.mark.parametrize("name", NAMES)
def test_every_item_of_every_case_has_a_finite_score(
    name: str, sequences: Sequences, held: Cases
) -> None:
    scores = fit(name, sequences)(sequences, held)
    assert scores.shape == (len(held), ITEMS + 1)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fit_gives_the_same_scores(name: str, sequences: Sequences, held: Cases) -> None:
    first, second = (fit(name, sequences)(sequences, held) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_scored_the_same_alone(name: str, sequences: Sequences, held: Cases) -> None:
    scorer = fit(name, sequences)
    alone = [scorer(sequences, held.take(np.array([row])))[0] for row in range(len(held))]
    np.testing.assert_allclose(alone, scorer(sequences, held), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_held_out_has_no_influence(
    name: str, make_sequences: Callable[..., Sequences]
) -> None:
    rng = np.random.default_rng(0)
    users = [rng.integers(1, ITEMS + 1, 8).tolist() for _ in range(6)]
    changed = [[*user[:6], 10 - user[6], 10 - user[7]] for user in users]
    case = Cases(np.arange(6), np.arange(6) * 8 + 6)  # the validation event of each
    known = make_sequences(users)
    scores = [fit(name, make_sequences(log))(known, case) for log in (users, changed)]
    np.testing.assert_array_equal(*scores)
    at_hand = [fit(name, log)(log, case) for log in (known, make_sequences(changed))]
    np.testing.assert_array_equal(*at_hand)


@pytest.mark.parametrize("name", NAMES)
def test_short_logs_are_no_trouble(name: str, make_sequences: Callable[..., Sequences]) -> None:
    sequences = make_sequences([[1, 2, 3], [2, 3], [3]])
    held = cases(sequences, TEST, 4)
    scores = fit(name, sequences, 3)(sequences, held)
    assert scores.shape == (2, 4)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_said_to_the_user(
    name: str, sequences: Sequences, held: Cases, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(name, sequences)(sequences, held)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["item_knn", "ials", "bpr", "ease", "recency_ease"])
def test_the_colour_of_a_checkerboard_is_found(
    name: str, checkerboard: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the items not seen, the one of the user's colour comes first: it is held out."""
    monkeypatch.setattr(factors, "BPR_ROUNDS", 1000)  # few events need many
    held = cases(checkerboard, VALIDATION, 1)
    scorer = BASELINES[name](checkerboard, 20)
    ranking = rank(scorer, checkerboard, held, 20, k=5, exclude_seen=True)
    assert ranking.ranks.tolist() == [1] * len(held)


def test_every_model_that_is_mixed_has_a_kind() -> None:
    assert set(KINDS) == {*NAMES} - {HYBRID, COUNTS}
    assert KINDS["markov"] == KINDS["windowed_markov"] == KINDS["short_markov"]
    assert KINDS["ease"] == KINDS["recency_ease"]
    assert KINDS["personal_top"] == KINDS["recent_top"]
    assert len(set(KINDS.values())) == len(KINDS) - 4


def test_a_large_catalogue_is_not_inverted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"ease", "recency_ease"} <= set(applicable(baselines.LARGEST_INVERSE, VECTORS, False)[0])
    fits, left_out = applicable(baselines.LARGEST_INVERSE + 1, VECTORS, False)
    assert set(left_out) == {"ease", "recency_ease"} == set(NAMES) - set(fits) - {HYBRID, COUNTS}
    assert "15,001 items" in left_out["ease"] and "15,000" in left_out["ease"]


@pytest.mark.parametrize("vectors", [None, np.zeros((ITEMS + 1, 4))])
def test_without_vectors_there_is_no_content(vectors: np.ndarray | None) -> None:
    fits, left_out = applicable(ITEMS, vectors, False)
    assert set(left_out) == {CONTENT} and CONTENT not in fits


def test_where_repeats_are_left_out_ones_own_favourites_are_no_model() -> None:
    fits, left_out = applicable(ITEMS, VECTORS, True)
    assert set(left_out) == {*REPEATING} == set(NAMES) - set(fits) - {HYBRID, COUNTS}
