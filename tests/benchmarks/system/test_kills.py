"""How a run is struck."""

from pathlib import Path

import pytest

from benchmarks.harness.checkout import Clone
from benchmarks.system import kills
from benchmarks.system.kills import Instants, killed_after, strike
from benchmarks.system.survival import Faults, Undisturbed

STAGES = "import time; print('running', flush=True); time.sleep(60)"
LASTS = 0.4  # seconds of a run below


def at_once(_: str) -> float:
    return 0.0


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
    assert strike(shop, run, "program", set(), at_once) == ["teacher"]
    assert run.end().status == 1
    assert shop.left_behind() == []


def test_the_flow_is_killed_alone(tmp_path: Path) -> None:
    shop = project_with_a_flow(tmp_path / "shop")
    run = shop.start("flow.py")
    assert strike(shop, run, "flow", set(), at_once) == ["teacher"]
    assert run.end().status == -9
    left = shop.programs()
    assert list(left) == ["teacher"], "this stage does not die with its parent"
    for pid in left.values():
        Clone(tmp_path).run("-c", f"import os; os.kill({pid}, 9)")


def test_a_stage_that_was_struck_before_is_spared(tmp_path: Path) -> None:
    shop = project_with_a_flow(tmp_path / "shop")
    (shop.root / "tasks/teacher.py").write_text("")
    run = shop.start("flow.py")
    assert strike(shop, run, "flow", {"teacher"}, at_once) == []
    assert run.end().status == 0


@pytest.fixture
def fresh(tmp_path: Path) -> Clone:
    """A project whose run notes that it began, and some time later that it has ended."""
    (tmp_path / "fresh/flows").mkdir(parents=True)
    (tmp_path / "fresh/flows/retrain.py").write_text(
        "import time\n"
        "open('log', 'a').write('began ')\n"
        f"time.sleep({LASTS})\n"
        "open('log', 'a').write('ended ')\n"
    )
    return Clone(tmp_path / "fresh")


def test_a_run_is_killed_at_its_instant_or_comes_through_before(fresh: Clone) -> None:
    assert killed_after(fresh.start("-m", "flows.retrain"), 0.0)
    assert not killed_after(fresh.start("-m", "flows.retrain"), 60.0)
    assert (fresh.root / "log").read_text().count("ended") == 1


def test_runs_are_killed_at_drawn_instants_until_one_gets_through(
    fresh: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(kills, "AT_STARTUP", 2)
    monkeypatch.setattr(kills, "INSTANTS", 4)
    monkeypatch.setattr(kills, "STARTUP", 0.1)
    monkeypatch.setattr(kills, "after_kill", lambda shop, done: ["a program is left"])
    monkeypatch.setattr(kills, "outcome_of", lambda shop, *_: looked.append(shop.root.name) or [])
    done = object.__new__(Undisturbed)
    done.seconds = 2 * LASTS
    faults = Faults(lambda line: None)
    instants = Instants(fresh, done, faults)
    instants.kill()
    assert len(instants.drawn) == 6
    assert max(instants.drawn[:2]) <= 0.1 and max(instants.drawn) <= 2 * LASTS
    assert faults.found == {
        f"killed.anywhere.{number}": ["a program is left"] for number in range(1, 7)
    }
    assert looked == [f"anywhere-{number}" for number in range(1, len(looked) + 1)]
    for name in looked:
        assert (fresh.root.parent / name / "log").read_text().endswith("began ended ")
