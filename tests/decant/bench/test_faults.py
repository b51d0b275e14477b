"""What counts as survived, and how a run is struck."""

import random
from pathlib import Path

from decant.bench.clone import Clone, Ended
from decant.bench.faults import Faults, Undisturbed, files, refused, strike
from decant.bench.results import Outcome

STAGES = "import time; print('running', flush=True); time.sleep(60)"


def test_a_fault_is_survived_when_nothing_went_wrong_after_it() -> None:
    said: list[str] = []
    faults = Faults(said.append)
    faults.add("killed.flow.teacher", [])
    faults.add("killed.flow.gate", ["left behind: python"])
    outcome = Outcome({}, [0])
    faults.into(outcome)
    assert {name: f["value"] for name, f in outcome.figures.items()} == {
        "fault.killed.flow.teacher": 1,
        "fault.killed.flow.gate": 0,
        "faults": 2,
        "survived": 1,
    }
    assert outcome.failures == ["fault.killed.flow.gate: left behind: python"]
    assert said[0] == "killed.flow.teacher: survived"


def make(root: Path, *names: str) -> Clone:
    for name in names:
        path = root / "data/features" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return Clone(root)


def test_an_output_without_one_of_its_files_is_half_written(tmp_path: Path) -> None:
    done = object.__new__(Undisturbed)
    done.shop = make(tmp_path / "done", "a.npy", "summary.json")
    done.lock = {"features": {"outs": [{"path": "data/features"}]}}
    assert done.half_written(make(tmp_path / "same", "a.npy", "summary.json")) == []
    assert done.half_written(Clone(tmp_path / "nothing")) == []
    torn = make(tmp_path / "torn", "a.npy")
    assert done.half_written(torn) == ["data/features is half-written"]
    assert files(torn, "data/features") == ["a.npy"]


def test_a_refusal_is_one_line_and_a_status() -> None:
    assert refused(Ended(2, "decant: error: no release\n", 0.1)) == []
    assert refused(Ended(0, "served\n", 0.1)) == ["not refused in one line: status 0, served"]


def project_with_a_flow(root: Path) -> Clone:
    """A flow that runs the program of one stage and says how it ended."""
    (root / "tasks").mkdir(parents=True)
    (root / "tasks/teacher.py").write_text(STAGES)
    (root / "flow.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.run([sys.executable, '-m', 'tasks.teacher'])\n"
        "sys.exit(child.returncode and 1)\n"
    )
    return Clone(root)


def test_the_program_of_a_stage_is_killed_and_the_flow_goes_on(tmp_path: Path) -> None:
    shop = project_with_a_flow(tmp_path / "shop")
    run = shop.start("flow.py")
    assert strike(shop, run, "program", set(), random.Random(0)) == ["teacher"]
    assert run.end().status == 1
    assert shop.left_behind() == []


def test_the_flow_is_killed_alone(tmp_path: Path) -> None:
    shop = project_with_a_flow(tmp_path / "shop")
    run = shop.start("flow.py")
    assert strike(shop, run, "flow", set(), random.Random(0)) == ["teacher"]
    assert run.end().status == -9
    left = shop.programs()
    assert list(left) == ["teacher"], "this stage does not die with its parent"
    for pid in left.values():
        Clone(tmp_path).run("-c", f"import os; os.kill({pid}, 9)")


def test_a_stage_that_was_struck_before_is_spared(tmp_path: Path) -> None:
    shop = project_with_a_flow(tmp_path / "shop")
    (shop.root / "tasks/teacher.py").write_text("")
    run = shop.start("flow.py")
    assert strike(shop, run, "flow", {"teacher"}, random.Random(0)) == []
    assert run.end().status == 0
