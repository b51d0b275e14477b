"""Models are shown noisy histories, and judged by the true ones."""

from collections.abc import Callable

import numpy as np
import pytest

from decant.evaluation.baselines import popularity
from decant.evaluation.metrics import ndcg
from decant.evaluation.noise import kinds
from decant.evaluation.robustness import (
    CLEAN,
    Curves,
    NoisyScorer,
    Trial,
    measure,
    measure_all,
    trial,
    turns,
)
from decant.evaluation.scoring import rank
from decant.features.encode import Encoder
from decant.features.sequences import TEST, Cases, Sequences, cases, histories, masked_items

ITEMS, USERS = 30, 60


@pytest.fixture(scope="module")
def sequences(make_sequences: Callable[..., Sequences]) -> Sequences:
    """Walks around a circle of items; the last three events of each are the test window."""
    users = [[1 + (number + step) % ITEMS for step in range(12)] for number in range(USERS)]
    return make_sequences(users, split=[[8, 9]] * USERS)


@pytest.fixture(scope="module")
def asked(sequences: Sequences, make_encoder: Callable[..., Encoder]) -> Trial:
    encoder = make_encoder(ITEMS, 10)
    chosen = cases(sequences, TEST, 3)
    return trial(sequences, encoder, chosen, shares=(0.2, 0.5), seeds=2, seed=1, k=10)


def next_of_last(sequences: Sequences, chosen: Cases) -> np.ndarray:
    """The item after the last one on the circle, and nothing else."""
    last = np.asarray(sequences.items)[chosen.position - 1]
    scores = np.zeros((len(chosen), ITEMS + 1))
    scores[np.arange(len(chosen)), last % ITEMS + 1] = 1
    return scores


def curve(asked: Trial, scorer: object, rows: np.ndarray | None = None) -> Curves:
    return measure(scorer, rows, asked, lambda done: None)  # type: ignore[arg-type]


def test_what_does_not_read_the_history_has_a_flat_curve(asked: Trial) -> None:
    result = curve(asked, popularity(asked.sequences, ITEMS))
    assert len(result) == 1 + 3 * 2
    for values in result.values():
        assert (values == result[CLEAN, 0.0]).all()


def test_what_reads_the_last_item_suffers_exactly_where_that_changes(asked: Trial) -> None:
    result = curve(asked, next_of_last)
    assert (result[CLEAN, 0.0] == 1).all()
    for (kind, share), values in result.items():
        if kind == CLEAN:
            continue
        kept = np.zeros(len(asked.chosen))
        for seed in asked.seeds:
            for turn in turns(asked.chosen):
                noisy, made = asked.noises[kind](asked.sequences, turn, share, seed)
                same = noisy.items[made.position - 1] == asked.sequences.items[turn.position - 1]
                kept[np.isin(asked.chosen.position, turn.position)] += same
        assert (np.isclose(values, 1) == (kept == 2)).all(), (kind, share)
        assert (values[kept < 2] < 1).all()
        assert 0 < (kept == 2).mean() < 1


def test_share_zero_ranks_as_clean_histories_do(asked: Trial) -> None:
    for noise in kinds(10).values():
        misled = NoisyScorer(next_of_last, asked.sequences, asked.chosen, noise, 0.0, 1)
        given = misled(asked.sequences, asked.chosen)
        assert (given == next_of_last(asked.sequences, asked.chosen)).all()


def test_every_case_is_scored_from_its_own_noisy_history_in_any_batch(asked: Trial) -> None:
    noise = asked.noises["insert"]
    misled = NoisyScorer(next_of_last, asked.sequences, asked.chosen, noise, 0.5, 1)
    whole = misled(asked.sequences, asked.chosen)
    mixed = np.random.default_rng(0).permutation(len(asked.chosen))[:50]
    assert (misled(asked.sequences, asked.chosen.take(mixed)) == whole[mixed]).all()
    for turn in turns(asked.chosen):
        rows = np.isin(asked.chosen.position, turn.position)
        assert (whole[rows] == next_of_last(*noise(asked.sequences, turn, 0.5, 1))).all()


@pytest.mark.parametrize("kind", kinds(10))
def test_noise_neither_masks_the_target_nor_unmasks_a_seen_item(asked: Trial, kind: str) -> None:
    def noisy_items_first(sequences: Sequences, chosen: Cases) -> np.ndarray:
        """The noisy history's items above all others, the seen ones of the true one among them."""
        scores = np.zeros((len(chosen), ITEMS + 1))
        batch = histories(sequences, chosen, ("items",), 20)["items"]
        np.put_along_axis(scores, batch, 1.0, axis=1)
        return scores

    noise = asked.noises[kind]
    misled = NoisyScorer(noisy_items_first, asked.sequences, asked.chosen, noise, 0.5, 1)
    ranking = rank(misled, asked.sequences, asked.chosen, ITEMS, k=ITEMS, exclude_seen=True)
    seen = masked_items(asked.sequences, asked.chosen, ITEMS, exclude_seen=True)
    shown = np.zeros_like(seen)
    np.put_along_axis(shown, ranking.top.astype(int), True, axis=1)
    shown[:, 0] = False
    assert (shown == ~seen).all()  # all that was not seen is ranked, whatever the noise was
    assert (ranking.ranks <= (~seen).sum(axis=1)).all()


def test_a_model_is_measured_on_its_own_cases_alone(asked: Trial) -> None:
    rows = np.flatnonzero(asked.chosen.user < 20)
    everywhere, own = curve(asked, next_of_last), curve(asked, next_of_last, rows)
    for level, values in own.items():
        assert (np.flatnonzero(~np.isnan(values)) == rows).all()
        assert (values[rows] == everywhere[level][rows]).all()


def test_models_are_measured_side_by_side_and_progress_is_told(asked: Trial) -> None:
    done: list[str] = []
    result = measure_all(
        {"last": lambda: next_of_last, "popular": lambda: popularity(asked.sequences, ITEMS)},
        {"last": np.arange(5)},
        asked,
        lambda name, rankings: done.extend([name] * rankings),
    )
    assert list(result) == ["last", "popular"]
    assert done.count("last") == done.count("popular") == asked.rankings == 1 + 3 * 2 * 2
    assert np.isnan(result["last"][CLEAN, 0.0][5:]).all()
    assert (
        result["popular"]["drop", 0.5]
        == curve(asked, popularity(asked.sequences, ITEMS))["drop", 0.5]
    ).all()


def test_the_curve_is_the_mean_over_the_draws(asked: Trial) -> None:
    both = curve(asked, next_of_last)["shuffle", 0.5]
    single = [
        ndcg(
            rank(
                NoisyScorer(
                    next_of_last, asked.sequences, asked.chosen, asked.noises["shuffle"], 0.5, s
                ),
                asked.sequences,
                asked.chosen,
                ITEMS,
                k=10,
                exclude_seen=True,
            ).ranks,
            10,
        )
        for s in asked.seeds
    ]
    assert (single[0] != single[1]).any()
    assert np.allclose(both, np.mean(single, axis=0))


def test_turns_have_each_case_once_and_each_user_once() -> None:
    chosen = Cases(np.array([0, 0, 2, 3, 3, 3]), np.array([4, 5, 9, 12, 14, 13]))
    result = list(turns(chosen))
    assert [turn.user.tolist() for turn in result] == [[0, 2, 3], [0, 3], [3]]
    assert [turn.position.tolist() for turn in result] == [[4, 9, 12], [5, 13], [14]]
    assert list(turns(chosen.take(np.arange(0)))) == []
