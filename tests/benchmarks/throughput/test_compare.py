"""The comparison with RecTools: the same conditions for both sides, speed and quality apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness.checkout import Clone
from benchmarks.throughput import compare
from benchmarks.throughput.compare import (
    PRECISIONS,
    RANKED,
    STEPS,
    ComparisonError,
    Speeds,
    add_quality,
    add_speeds,
    in_turn,
    ranks_in,
    schedule,
    steps_in,
    table,
    write_inputs,
)
from decant.features.holdout import in_selection
from decant.features.sequences import VALIDATION, Cases, cases
from decant.params.models import Teacher
from decant.report.results import Outcome


def answer(events: float, seconds: float = 1.0, steps: int = 10) -> dict[str, Any]:
    return {"events": events, "seconds": seconds, "steps": steps}


def speeds() -> Speeds:
    rounds = [(100.0, 50.0), (90.0, 30.0), (120.0, 40.0)]
    return {
        precision: [(answer(factor * ours), answer(factor * theirs)) for ours, theirs in rounds]
        for precision, factor in zip(PRECISIONS, (1, 10), strict=True)
    }


def ranked(ranks: list[int], steps: int = 40) -> dict[str, Any]:
    return {"steps": steps, "events": 7, "parameters": 8, "trained": 1.23, "ranks": ranks}


def test_both_sides_get_the_same_batches_rates_decay_and_size(
    tmp_path: Path, make_sequences: Any
) -> None:
    make_sequences([[1, 2, 3, 4], [4, 3, 2]]).save(tmp_path / "data/features/sequences")
    (tmp_path / "params.yaml").write_text("features: {max_length: 30}\n")
    sequences, length = write_inputs(Clone(tmp_path), tmp_path)
    theirs = json.loads((tmp_path / "settings.json").read_text())
    model = theirs["model"]
    for precision in PRECISIONS:
        given = json.loads((tmp_path / f"ours-{precision}.json").read_text())
        assert given.pop("seed") == theirs["seed"]
        ours = Teacher.model_validate(given)  # as step_profile reads it
        assert ours.precision == precision
        assert (ours.batch_size, ours.learning_rate) == (model["batch_size"], model["lr"])
        assert (ours.dimension, ours.layers) == (model["n_factors"], model["n_blocks"])
        assert (ours.heads, ours.dropout) == (model["n_heads"], model["dropout_rate"])
        assert (ours.weight_decay, ours.threads) == (theirs["weight_decay"], theirs["threads"])
    assert model["session_max_len"] == length == 30
    assert len(np.load(tmp_path / "schedule.npy")) == STEPS
    assert np.load(tmp_path / "users.npy").tolist() == [0] * 2 + [1]  # training events alone
    assert np.load(tmp_path / "items.npy").tolist() == [1, 2, 4]
    assert sequences.users == 2


def test_the_schedule_warms_up_and_ends_at_a_twentieth() -> None:
    rates = schedule(100)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[-1] == pytest.approx(1 - 0.95 * 94 / 95)
    assert len(rates) == 100 and rates.max() == 1


def test_both_sides_take_turns_with_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def side(name: str) -> Any:
        return lambda precision, amount: asked.append((name, precision)) or answer(1.0)

    rounds = in_turn(side("ours"), side("theirs"), lambda line: None)
    once = [(name, precision) for precision in PRECISIONS for name in ("ours", "theirs")]
    assert asked == once * compare.ROUNDS
    assert [len(pairs) for pairs in rounds.values()] == [compare.ROUNDS] * len(PRECISIONS)


def test_speeds_are_given_by_their_median_and_extremes_for_each_precision() -> None:
    outcome = Outcome({}, [1])
    add_speeds(outcome, speeds())
    for precision, factor in zip(PRECISIONS, (1, 10), strict=True):
        ratio = outcome.figures[f"training.events_per_s.ratio.{precision}"]
        assert (ratio["value"], ratio["low"], ratio["high"]) == (3.0, 2.0, 3.0)
        assert outcome.figures[f"training.events_per_s.{precision}"]["value"] == 100 * factor
    assert "1,000" in table(outcome.figures)


def test_minutes_are_those_of_the_slower_side() -> None:
    rounds = speeds()
    rounds[RANKED] = [(answer(1, seconds=1, steps=10), answer(1, seconds=6, steps=10))]
    assert steps_in(None, rounds) == STEPS
    assert steps_in(2, rounds) == 200
    assert steps_in(0, rounds) == 0


def test_quality_is_compared_on_the_deciding_users_alone(make_sequences: Any) -> None:
    sequences = make_sequences([[1, 2, 3, 4]] * 40)
    chosen = cases(sequences, VALIDATION, 1)
    deciding = ~in_selection(chosen.user)
    assert 0 < deciding.sum() < 40
    ours = np.where(deciding, 1, 11)  # ours is right for them, RecTools' for the others
    right = np.asarray(sequences.items)[chosen.position]
    top = np.where(deciding, 0, right)[:, None] * np.ones((1, 10), int)
    top[deciding, 1] = right[deciding]  # and second best for them
    outcome = Outcome({}, [1])
    add_quality(outcome, sequences, top, ranked(ours.tolist()), ranked([]))
    assert outcome.figures["training.equal_steps.ndcg@10"]["value"] == 1
    other = outcome.figures["training.equal_steps.rectools.ndcg@10"]
    assert other["value"] == pytest.approx(1 / np.log2(3))
    assert other["n"] == deciding.sum()
    assert outcome.figures["training.equal_steps.gain"]["value"] == pytest.approx(np.log2(3) - 1)
    assert outcome.figures["training.equal_steps.rectools.steps"]["value"] == 40
    assert "NDCG@10 after 40 steps" in table(outcome.figures)


def test_other_numbers_of_steps_are_no_comparison(make_sequences: Any) -> None:
    with pytest.raises(ComparisonError, match="40 steps against RecTools' 33"):
        add_quality(
            Outcome({}, [1]), make_sequences([[1, 2, 3]]), np.zeros((1, 10)), ranked([1]),
            ranked([1], 33),
        )  # fmt: skip


def test_ranks_are_places_in_each_users_list(make_sequences: Any) -> None:
    sequences = make_sequences([[1, 2], [3, 4], [5, 6]])
    top = np.array([[9, 2, 0], [4, 1, 0], [7, 8, 9]])
    chosen = Cases(np.array([0, 1, 2]), np.array([1, 3, 5]))
    assert ranks_in(top, sequences, chosen).tolist() == [2, 1, 4]
