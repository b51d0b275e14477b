import itertools

import numpy as np

from benchmarks.system.large_catalogue import (
    FOLLOWS,
    NEXT,
    STEPS,
    best,
    log_of,
    measure,
    overlap,
    protocol,
)


def test_most_steps_lead_to_one_of_few_successors() -> None:
    sequences = log_of(500, 400, np.random.default_rng(0))
    items = np.asarray(sequences.items).reshape(400, STEPS)
    assert items.min() >= 1 and items.max() <= 500
    after: dict[int, list[int]] = {}
    for row in items:
        for item, following in itertools.pairwise(row):
            after.setdefault(int(item), []).append(int(following))
    popular = max(after.values(), key=len)
    share = sorted(np.unique(popular, return_counts=True)[1])[-NEXT:]
    assert abs(sum(share) / len(popular) - FOLLOWS) < 0.1
    assert (sequences.split == [STEPS - 2, STEPS - 1]).all()


def test_a_small_catalogue_is_measured_like_a_large_one() -> None:
    figures = measure(600, 300)
    assert figures["experts.agreement"] > 0.95
    assert figures["covered.experts"] > 0.8 * figures["covered.counts"] > 0.2
    assert figures["ratio.megabytes"] > 1
    assert figures["experts.megabytes.million"] > 1000 * figures["experts.megabytes"]
    assert set(protocol()) >= {"log", "latency", "agreement"}


def test_lists_overlap_by_the_items_that_they_share() -> None:
    assert overlap(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 9]])) == 0.75
    scores = np.zeros((1, 30))
    scores[0, [0, *range(5, 15)]] = 1
    assert sorted(best(scores)[0].tolist()) == list(range(5, 15))
