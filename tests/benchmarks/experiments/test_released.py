"""The family as released, on the contradiction."""

import json

import pytest

from benchmarks.experiments.comparison import Contest
from benchmarks.experiments.released import add_released, result, write_released
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Outcome

OWN = ["segment@a", "segment@b"]


def released(of: Contest, shipped: list[str]) -> Outcome:
    outcome = Outcome({}, [1])
    add_released(outcome, of, shipped)
    return outcome


def test_students_of_ones_own_bring_the_family_to_the_teacher(contested: Contest) -> None:
    alone, family = (
        released(contested, shipped).figures["released.retention"]["value"] for shipped in ([], OWN)
    )
    assert family > alone
    assert family == pytest.approx(1, abs=0.05)


def test_bytes_are_of_all_students_and_multiply_adds_of_the_dearest(contested: Contest) -> None:
    names = (TEACHER, GENERAL, *OWN)
    found = {name: json.loads(result(contested, name).read_text()) for name in names}
    figures = released(contested, OWN).figures
    students = [found[name] for name in (GENERAL, *OWN)]
    size, products = (figures[f"released.{n}.fewer"]["value"] for n in ("bytes", "multiply_adds"))
    assert size == found[TEACHER]["bytes"] / sum(student["bytes"] for student in students)
    dearest = max(student["multiply_adds"] for student in students)
    assert products == found[TEACHER]["multiply_adds"] / dearest
    assert found[GENERAL]["bytes"] < found[TEACHER]["bytes"]


def test_what_is_done_is_not_compressed_again(contested: Contest) -> None:
    path = result(contested, GENERAL)
    before = path.stat().st_mtime_ns
    write_released(contested, GENERAL)
    assert path.stat().st_mtime_ns == before
    path.write_text(json.dumps({"version": "of other code"}))
    write_released(contested, GENERAL)
    assert json.loads(path.read_text())["bytes"] > 0
