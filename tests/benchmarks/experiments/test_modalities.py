from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.experiments import modalities
from benchmarks.experiments.modalities import content_knn, figure, per_user, summarise
from decant.features.sequences import Cases, Sequences


def test_content_knn_prefers_what_is_like_the_history(
    make_sequences: Callable[..., Sequences],
) -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 1], [0.9, 0.1], [0.1, 0.9]])
    sequences = make_sequences([[1, 3], [2, 4]])
    chosen = Cases(np.array([0, 1]), np.array([1, 3]))
    scores = content_knn(vectors)(sequences, chosen)
    assert scores[0, 3] > scores[0, 4] and scores[1, 4] > scores[1, 3]


def test_a_users_mean_counts_once_and_others_are_unknown() -> None:
    chosen = Cases(np.array([0, 0, 2]), np.array([5, 6, 7]))
    result = per_user(np.array([1.0, 0.0, 1.0]), chosen, 3)
    np.testing.assert_array_equal(result, [0.5, np.nan, 1.0])


def test_users_without_a_case_in_one_seed_count_with_the_other() -> None:
    ours = [np.array([1.0, np.nan, np.nan]), np.array([0.0, 0.5, np.nan])]
    result = figure(ours, [np.zeros(3), np.zeros(3)])
    assert (result["value"], result["n"]) == (0.5, 2)


def test_gains_are_over_the_teacher_of_ids_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modalities, "RESAMPLES", 100)
    levels = {"item": 0.1, "text": 0.3, "image": 0.2, "both": 0.4, "random": 0.0}
    values = {
        name: {group: [np.full(4, level)] for group in modalities.GROUPS}
        for name, level in levels.items()
    }
    figures = summarise(values)
    assert figures["text.gain.cold"]["value"] == pytest.approx(0.2)
    assert figures["both.gain.all"]["value"] == pytest.approx(0.3)
    assert figures["random.ndcg@10.warm"]["value"] == 0.0
    assert "random.gain.all" not in figures and "item.gain.all" not in figures
