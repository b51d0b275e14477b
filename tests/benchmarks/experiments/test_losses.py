"""Losses compared on the contradiction, by the program's own functions."""

from hashlib import sha256

from benchmarks.experiments.comparison import Contest
from benchmarks.experiments.losses import HARD, outcome_of
from benchmarks.experiments.variants import LOSS_WAYS
from decant.params.types import TEACHER


def test_every_loss_stands_in_the_table_with_its_gain_over_hard_labels(contested: Contest) -> None:
    found = outcome_of(contested, "demo", "quick")
    assert found.figures[f"{HARD}.gain"]["value"] == 0
    for name in LOSS_WAYS:
        assert 0 <= found.figures[f"{name}.validation.ndcg@10"]["value"] <= 1
        assert found.figures[f"{name}.gain"]["low"] is not None
    first = [line.split()[0] for line in found.shown.splitlines()[1:]]
    assert sorted(first) == sorted([TEACHER, *LOSS_WAYS])


def test_nothing_of_test_is_shown(contested: Contest) -> None:
    found = outcome_of(contested, "demo", "quick")
    assert not any("test" in name for name in found.figures)
    assert all("validation" in name for name in found.figures if "ndcg" in name)


def test_each_loss_changes_what_is_learned(contested: Contest) -> None:
    learned = {
        name: sha256((contested.folder / f"{name}.safetensors").read_bytes()).hexdigest()
        for name in LOSS_WAYS
    }
    # one event comes before each answer: a position has none other to attend to
    assert learned.pop("relations") == learned["soft_7"]
    assert len({*learned.values()}) == len(learned)
