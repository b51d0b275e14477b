"""Settings that differ, and stages that ran with their causes."""

from collections.abc import Callable
from typing import Any

from decant.diff.changes import StageChange, settings_that_differ, stages_that_ran


def changes(project: Any, a: Any, b: Any) -> tuple[dict[str, StageChange], list[str]]:
    project.commit(a)
    project.commit(b)
    result, same = stages_that_ran(project.side("HEAD~1").record, project.side("HEAD").record)
    return {change.stage: change for change in result}, same


def test_settings_that_differ_are_named_with_both_values() -> None:
    rows = settings_that_differ(
        {"a": 1, "b": None, "c": [1]}, {"a": 2, "b": None, "d": "x", "e": None}
    )
    assert rows == [
        {"key": "a", "a": 1, "b": 2},
        {"key": "c", "a": [1], "b": "not set"},
        {"key": "d", "a": "not set", "b": "x"},
        {"key": "e", "a": "not set", "b": None},
    ]


def test_a_setting_is_the_cause_where_it_is_read_and_what_follows_comes_after(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    result, same = changes(project, new_run(), better)
    assert result["distill@women"].causes == ["distill.segment_epochs"]
    assert result["distill@women"].after == [] and not result["distill@women"].same_output
    assert result["evaluate"].causes == []
    assert result["evaluate"].after == ["distill@women"]
    assert result["gate"].after == ["evaluate"]
    assert same == ["raw", "features", "segments", "teacher"]


def test_a_stage_that_made_the_same_again_causes_nothing_below(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    result, _ = changes(project, new_run(), better)
    assert result["distill@general"].same_output
    assert "distill@general" not in result["distill@women"].after


def test_stages_come_after_those_that_they_read_from(
    project: Any, new_run: Callable[..., Any]
) -> None:
    result, same = changes(project, new_run(), new_run(code="2", people=["q"] * 60))
    order = list(result)
    assert same == []
    for above, below in (
        ("raw", "features"),
        ("features", "teacher"),
        ("segments", "distill@women"),
        ("distill@women", "evaluate"),
        ("evaluate", "gate"),
    ):
        assert order.index(above) < order.index(below)


def test_another_code_is_a_cause_by_that_name(project: Any, new_run: Callable[..., Any]) -> None:
    result, _ = changes(project, new_run(), new_run(code="2"))
    assert all(change.causes == ["code"] for change in result.values())
    assert all(change.same_output for change in result.values())


def test_a_student_of_one_side_alone_is_new_or_gone(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.commit(new_run())
    record = project.side("HEAD").record
    without = {name: stage for name, stage in record.items() if name != "distill@women"}
    assert status_of("distill@women", stages_that_ran(without, record)[0]) == "new"
    assert status_of("distill@women", stages_that_ran(record, without)[0]) == "gone"


def status_of(stage: str, result: list[StageChange]) -> str:
    return next(change.status for change in result if change.stage == stage)


def test_a_stage_that_made_something_else_of_the_same_is_told(
    project: Any, new_run: Callable[..., Any]
) -> None:
    other = new_run(release="bbbbbbbbbbbbbbbb")  # only the candidate's id is another
    result, _ = changes(project, new_run(), other)
    assert list(result) == ["candidate"]
    assert (result["candidate"].causes, result["candidate"].after) == ([], [])
    assert not result["candidate"].same_output


def test_the_stage_that_digests_the_code_is_left_out(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.commit(new_run())
    record = dict(project.side("HEAD").record)
    other = record | {"fingerprint": record["raw"]}
    assert stages_that_ran(record, other)[0] == []
