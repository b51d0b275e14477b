"""A study that a kill has left behind is opened again; two processes never get the same trial."""

import itertools
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decant.files import UnusableError
from decant.tuning.space import Plan
from decant.tuning.study import (
    DONE,
    FAILED,
    JOURNAL,
    STOPPED,
    Study,
    TrialResult,
    best_result,
    cases_path,
    cut_torn_line,
    load_cases,
    save_cases,
)

MakePlan = Callable[..., Plan]
RESULT = {"outcome": DONE, "value": 0.5, "parameters": 10}


def begin(study: Study, plan: Plan) -> tuple[int, dict[str, Any]]:
    """Number and settings of the next trial."""
    begun = study.begin(plan)
    assert begun is not None
    return begun[0].number, begun[1]


def test_results_are_the_same_after_the_study_was_closed(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    first, plan = Study(tmp_path), make_plan()
    settings = [begin(first, plan)[1] for _ in range(3)]
    first.finish(0, RESULT)
    first.finish(1, {"outcome": FAILED, "why": "diverged"})
    results = Study(tmp_path).results()
    assert [(r.number, r.outcome, r.value, r.why) for r in results] == [
        (0, DONE, 0.5, ""),
        (1, FAILED, None, "diverged"),
    ]
    assert [r.settings for r in results] == settings[:2]


@pytest.mark.parametrize("method", ["random", "tpe", "grid"])
def test_a_trial_that_was_running_begins_again_with_its_number_and_settings(
    make_plan: MakePlan, tmp_path: Path, method: str
) -> None:
    space = {"layers": {"low": 1, "high": 3}, "heads": {"choices": [1, 2]}}
    plan = make_plan(method=method, space=space)
    study = Study(tmp_path)
    before = [begin(study, plan) for _ in range(4)]
    study.finish(1, RESULT)
    again = Study(tmp_path)
    assert again.requeue() == 3
    assert [begin(again, plan) for _ in range(3)] == [before[n] for n in (0, 2, 3)]
    assert begin(again, plan)[0] == 4


def test_no_more_trials_begin_than_are_planned(make_plan: MakePlan, tmp_path: Path) -> None:
    study = Study(tmp_path)
    assert [begin(study, make_plan(trials=2))[0] for _ in range(3)] == [0, 1, 2]
    assert study.begin(make_plan(trials=2)) is None
    assert begin(study, make_plan(trials=3))[0] == 3


def begin_all(folder: Path, plan: Plan) -> tuple[int, list[int]]:
    """This process and the numbers of the trials that it begins."""
    study, numbers = Study(folder), []
    while (begun := study.begin(plan)) is not None:
        numbers.append(begun[0].number)
    return os.getpid(), numbers


def in_processes(count: int, folder: Path, plan: Plan) -> list[tuple[int, list[int]]]:
    with multiprocessing.get_context("fork").Pool(count) as pool:
        return pool.starmap(begin_all, [(folder, plan)] * count)


def test_processes_share_the_trials_among_them(make_plan: MakePlan, tmp_path: Path) -> None:
    shares = in_processes(3, tmp_path, make_plan(trials=15))
    assert sorted(itertools.chain(*(numbers for _, numbers in shares))) == list(range(16))


def test_the_trials_of_each_process_are_known(make_plan: MakePlan, tmp_path: Path) -> None:
    ((process, numbers),) = in_processes(1, tmp_path, make_plan(trials=1))
    study = Study(tmp_path)
    assert numbers == [0, 1] and begin(study, make_plan(trials=3))[0] == 2
    study.finish(0, RESULT)
    assert study.begun_by(process) == {0: True, 1: False}
    assert study.begun_by(os.getpid()) == {2: False}
    assert study.begun_by(1) == {}


def test_half_a_line_of_another_process_does_not_stop_the_next_one(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    study, plan = Study(tmp_path), make_plan()
    begin(study, plan)
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"op_code":4,"wor')
    study.finish(0, RESULT)  # already open, as that of another worker is
    begin(Study(tmp_path), plan)
    assert [r.number for r in Study(tmp_path).results()] == [0]
    assert [path.name for path in tmp_path.glob(f"{JOURNAL}*")] == [JOURNAL]


@pytest.mark.parametrize(
    ("content", "rest"),
    [(b"{}\n{", b"{}\n"), (b"{}\n{}\n", b"{}\n{}\n"), (b'{"a', b""), (b"", b"")],
)
def test_only_a_line_that_has_no_end_is_cut(tmp_path: Path, content: bytes, rest: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(content)
    with path.open("r+b") as journal:
        cut_torn_line(journal)
    assert path.read_bytes() == rest


@pytest.mark.parametrize("content", [b"hello", b"{}\nhello", b"hello\n{}\n", b'{"op_code": 99}\n'])
def test_another_kind_of_file_is_left_alone_and_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(content)
    with pytest.raises(
        UnusableError,
        match=rf"^{path} cannot be used \(a line in it is damaged.*restart the search$",
    ):
        Study(tmp_path)
    assert path.read_bytes().startswith(content)


@pytest.mark.parametrize(
    ("now", "then"),
    [('"result"', '"told"'), ('"parameters"', '"size"'), ('"settings"', '"picked"')],
)
def test_a_journal_of_another_version_is_one_line(
    make_plan: MakePlan, tmp_path: Path, now: str, then: str
) -> None:
    study = Study(tmp_path)
    begin(study, make_plan())
    study.finish(0, RESULT)
    journal = tmp_path / JOURNAL
    journal.write_text(journal.read_text().replace(now, then))
    with pytest.raises(UnusableError, match=rf"^{journal} cannot be used \(the result of a trial"):
        Study(tmp_path).results()


def test_the_best_was_trained_to_its_end_and_came_first() -> None:
    values = [(DONE, 0.2), (STOPPED, 0.9), (DONE, 0.4), (DONE, 0.4), (FAILED, None)]
    results = [TrialResult(n, outcome, {}, value) for n, (outcome, value) in enumerate(values)]
    best = best_result(results)
    assert best is not None and best.number == 2
    assert best_result(results[1:2]) is None


def test_cases_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = cases_path(tmp_path, 3)
    save_cases(path, np.array([1, 1, 4]), np.array([0.5, 0.0, 1.0]))
    users, quality = load_cases(path)
    assert (users.tolist(), quality.tolist()) == ([1, 1, 4], [0.5, 0.0, 1.0])
    assert [file.name for file in path.parent.iterdir()] == ["3.npz"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnusableError, match=r"\(cases/3.npz: damaged\): move it away to restart"):
        load_cases(path)
