"""Rows of the tables of models."""

from typing import Any

import pytest

from decant.report.model_rows import (
    baseline_rows,
    family_row,
    metric_columns,
    oracle_rows,
    step_note,
    steps_blocks,
)


def test_a_block_for_all_users_comes_first_then_one_for_each_student(run: Any) -> None:
    blocks = steps_blocks(run.evidence())
    assert [block.student for block in blocks] == ["", "general", "women", "men"]
    assert [row.label for row in blocks[0].rows] == [
        "teacher", "general, distilled", "general, pruned", "general, int8", "family, as released",
    ]  # fmt: skip
    assert [(block.users, block.cases) for block in blocks] == [(90, 180)] + [(30, 60)] * 3


def test_a_student_is_measured_on_its_own_users_beside_the_teacher_there(run: Any) -> None:
    block = steps_blocks(run.evidence())[2]
    models = run.metrics["models"]
    teacher, *_, released = block.rows
    assert teacher.ndcg == models["teacher"]["test"]["women"]["ndcg"]
    assert released.ndcg == models["women/int8"]["test"]["women"]["ndcg"]
    assert released.share is not None and released.ndcg is not None
    assert released.share["value"] == pytest.approx(released.ndcg / teacher.ndcg)
    assert released.share["low"] is not None
    assert (released.size, released.latency) == (60_000, 200)
    assert teacher.share == {"value": 1, "low": None, "high": None, "n": None}


def test_general_serves_the_group_of_a_student_that_was_not_accepted(run: Any) -> None:
    women, men = steps_blocks(run.evidence())[2:]
    assert [row.label for row in women.rows if row.released] == ["int8"]
    assert [row.label for row in men.rows if row.released] == ["general, int8"]
    assert men.rows[-1].ndcg == run.metrics["models"]["general/int8"]["test"]["men"]["ndcg"]
    assert "general serves, not better" in men.status


def test_a_merged_segment_has_the_teacher_and_general_alone(merged: Any) -> None:
    block = steps_blocks(merged.evidence())[3]
    assert [row.label for row in block.rows] == ["teacher", "general, int8"]
    assert block.status == "merged into general, too few users"


def test_without_its_own_models_no_other_model_is_called_released(run: Any) -> None:
    for hop in ("distilled", "pruned", "int8"):
        del run.metrics["models"][f"women/{hop}"]
    block = steps_blocks(run.evidence())[2]
    assert [(row.label, row.released) for row in block.rows] == [("teacher", False)]


def test_the_family_is_as_the_gate_saw_it_with_the_cost_of_its_students(run: Any) -> None:
    row = family_row(run.evidence())
    family = run.verdict["family"]["test"]["all"]
    assert (row.ndcg, row.hr, row.recall) == (family["ndcg"], family["hr"], family["hr"])
    assert row.precision == pytest.approx(family["hr"] / 10)
    assert (row.size, row.latency) == (110_000, 200)
    assert row.note == "2 students together; p50 of the slowest"


def test_a_missing_figure_stays_missing_in_its_row_alone(run: Any) -> None:
    del run.metrics["models"]["women/int8"]["latency_us"]
    del run.metrics["models"]["women/int8"]["test"]["women"]["hr"]
    row = steps_blocks(run.evidence())[2].rows[-1]
    assert (row.latency, row.hr) == (None, None)
    assert row.ndcg is not None and row.size == 60_000
    assert family_row(run.evidence()).latency is None


@pytest.mark.parametrize(
    ("step", "note"),
    [
        ({}, ""),
        ({"ndcg": 0.5}, ""),
        ({"taken": False, "weights": "float32"}, "rejected, lost too much quality: unchanged"),
        ({"taken": True, "weights": "int8"}, "int8 weights"),
        ({"taken": True, "heads_kept": 1.0, "hidden_kept": 0.5, "parameters": 4321},
         "100 % of heads and 50 % of hidden units kept, 4,321 parameters"),
    ],
)  # fmt: skip
def test_a_note_says_what_a_step_changed(step: dict[str, Any], note: str) -> None:
    assert step_note({"int8": step}, "int8").replace("\u00a0", " ") == note


def test_traditional_models_come_best_first_before_teacher_and_family(run: Any) -> None:
    rows = baseline_rows(run.evidence())
    labels = [row.label for row, _ in rows]
    assert labels[0] == "markov" and labels[-2:] == ["teacher", "family, as released"]
    assert labels[-3] == "popularity" and "oracle" not in labels
    values = {row.label: validation for row, validation in rows}
    assert values["markov"] == run.metrics["models"]["markov"]["validation"]["all"]["ndcg"]
    assert values["family, as released"] == run.verdict["family"]["validation"]["all"]["ndcg"]


def test_oracle_rows_name_their_users_and_no_bar_is_wider_than_its_frame(run: Any) -> None:
    best = run.cases["model"] == "women/int8"
    cases = run.cases.assign(rank=run.cases["rank"].where(~best, 1))
    rows = {row.label: row for row in oracle_rows(run.change(cases=cases).evidence())}
    assert rows["teacher"].users == "all users" and rows["women, int8"].users == "women"
    women = rows["women, int8"].share
    assert women is not None and women["value"] > 1 and rows["women, int8"].width == 100
    assert rows["women, int8"].best == run.metrics["models"]["oracle"]["test"]["women"]["ndcg"]
    teacher = rows["teacher"].share
    assert teacher is not None and rows["teacher"].width == 100 * teacher["value"] < 100


def test_an_unknown_share_of_the_best_possible_has_an_empty_bar(run: Any) -> None:
    cases = run.cases[run.cases["model"] != "teacher"]
    rows = {row.label: row for row in oracle_rows(run.change(cases=cases).evidence())}
    assert (rows["teacher"].share, rows["teacher"].width) == (None, 0)
    del run.metrics["models"]["oracle"]
    assert oracle_rows(run.evidence()) == []


def test_metrics_are_named_with_their_cut_off() -> None:
    assert metric_columns(5)[:3] == ["NDCG@5", "of the teacher", "HR@5"]
