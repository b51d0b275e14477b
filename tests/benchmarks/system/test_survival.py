"""What counts as survived."""

import random
from pathlib import Path

from benchmarks.harness.checkout import Clone
from benchmarks.system.survival import Faults, Undisturbed, files, watch
from decant.report.results import Outcome


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
    assert done.half_written(torn) == ["data/features is incomplete"]
    assert files(torn, "data/features") == ["a.npy"]


def test_a_program_is_struck_in_its_first_second_or_in_most_of_a_shorter_one() -> None:
    done = object.__new__(Undisturbed)
    done.lasted = {"teacher": 30.0, "gate": 0.5}
    delay = done.early(random.Random(0))
    instants = {name: [delay(name) for _ in range(200)] for name in ("teacher", "gate")}
    assert 0.9 < max(instants["teacher"]) <= 1.0
    assert 0.3 < max(instants["gate"]) <= 0.4
    assert min(map(min, instants.values())) < 0.05


def test_programs_are_watched_to_the_end_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "shop/tasks").mkdir(parents=True)
    (tmp_path / "shop/tasks/gate.py").write_text("import time; time.sleep(1)")
    shop = Clone(tmp_path / "shop")
    lasted = watch(shop, shop.start("-m", "tasks.gate"))
    assert set(lasted) == {"gate"} and lasted["gate"] > 0
