from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation.prior import group_counts, log_ratio, with_prior
from decant.features.sequences import training_counts

torch.set_num_threads(1)


def test_the_counts_of_all_groups_are_everybodys(family: Any) -> None:
    sequences, items = family.known.sequences, len(family.known.encoder.items)
    everybody = group_counts(sequences, np.arange(sequences.users), items)
    np.testing.assert_array_equal(everybody, training_counts(sequences, items))
    halves = [group_counts(sequences, np.arange(n, sequences.users, 2), items) for n in (0, 1)]
    np.testing.assert_array_equal(sum(halves), everybody)
    assert not group_counts(sequences, np.zeros(0, dtype=np.int64), items).any()


def test_a_group_like_everybody_has_no_prior_of_its_own() -> None:
    everybody = np.array([0.0, 40, 20, 0])
    np.testing.assert_allclose(log_ratio(everybody / 4, everybody, 10.0), 0, atol=1e-12)
    np.testing.assert_allclose(log_ratio(np.zeros(4), everybody, 10.0), 0, atol=1e-12)


def test_the_ratio_is_that_of_the_shares_and_shrinks() -> None:
    everybody, ours = np.array([0.0, 30, 10]), np.array([0.0, 5, 15])
    free = log_ratio(ours, everybody, 1e-9)
    assert free[1:].tolist() == pytest.approx([np.log(0.25 / 0.75), np.log(0.75 / 0.25)])
    held = log_ratio(ours, everybody, 20.0)
    assert 0 < held[2] < free[2] and free[1] < held[1] < 0
    assert held[2] == pytest.approx(np.log((15 + 5) / (0.25 * 40)))


def test_the_prior_is_in_the_bias_alone_by_its_weight(family: Any) -> None:
    general, sequences = family.models["general"], family.known.sequences
    members = family.known.members["a"]
    once, twice = (
        with_prior(deepcopy(general), sequences, members, 50.0, weight) for weight in (1.0, 2.0)
    )
    change = once.bias - general.bias
    assert change.abs().max() > 0
    torch.testing.assert_close(twice.bias - general.bias, 2 * change)
    for name, tensor in once.state_dict().items():
        assert name == "bias" or torch.equal(tensor, general.state_dict()[name])
