"""What two runs cost, and the gate's word on both."""

from collections.abc import Callable
from typing import Any

from decant.diff.costs import compare_costs, compare_gates

NewRun = Callable[..., Any]


def test_each_model_has_its_size_work_time_and_training(
    project: Any, new_run: NewRun, better: Any
) -> None:
    project.commit(new_run())
    project.commit(better)
    rows = {r["model"]: r for r in compare_costs(project.side("HEAD~1"), project.side("HEAD"))}
    assert list(rows) == ["teacher", "family", "general", "women"]
    assert rows["women"]["trained_on"] == [240, 80]
    assert rows["teacher"]["bytes"] == [9000, 9000]
    assert rows["family"] == {
        "model": "family",
        "bytes": [2000, 2000],
        "multiply_adds": [70, 70],
        "p50_us": [50, 50],
        "trained_on": [None, None],
    }


def test_a_student_that_does_not_ship_is_no_part_of_the_family(
    project: Any, new_run: NewRun
) -> None:
    project.commit(new_run())
    project.commit(new_run(ships=False))
    rows = {r["model"]: r for r in compare_costs(project.side("HEAD~1"), project.side("HEAD"))}
    assert rows["family"]["bytes"] == [2000, 1000]


def test_what_is_not_at_hand_is_not_known(project: Any, new_run: NewRun) -> None:
    run = new_run()
    project.commit(run)
    project.forget(run, "data/models/women/summary.json")
    project.forget(run, "data/evaluation/metrics.json")
    rows = {r["model"]: r for r in compare_costs(project.side("HEAD"), project.side("HEAD"))}
    assert rows["general"]["trained_on"] == [500, 500]
    assert "women" not in rows and "family" not in rows


def test_the_gates_are_told_with_what_failed_and_who_is_served_by_whom() -> None:
    segments = {"women": {"ships": True, "reason": "better on validation"}}
    lost = {"women": {"ships": False, "reason": "may lose more than 0.005"}}
    check = {"name": "lift", "value": -0.1, "threshold": 0.0, "passed": False, "why": "over ease"}
    a = {"passed": True, "checks": [{**check, "passed": True}], "segments": segments}
    b = {"passed": False, "checks": [check], "segments": lost}
    gates = compare_gates(side(a), side(b))
    assert gates["a"] == {"passed": True, "checks": 1, "failed": []}
    assert [failed["name"] for failed in gates["b"]["failed"]] == ["lift"]
    assert gates["serving"] == [
        {"group": "women", "a": "women", "b": "general", "reason": "may lose more than 0.005"}
    ]
    assert compare_gates(side({}), side(b))["a"] is None


def side(verdict: dict[str, Any]) -> Any:
    class Judged:
        pass

    judged = Judged()
    judged.verdict = verdict  # type: ignore[attr-defined]
    return judged
