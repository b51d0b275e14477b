"""Every trial is run once, whatever is killed; bad ones do not end the search."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psutil
import pytest

from decant.tuning.search import SearchError, note_loss
from decant.tuning.space import Plan
from decant.tuning.study import (
    DONE,
    FAILED,
    JOURNAL,
    STOPPED,
    UNFIT,
    Study,
    TrialResult,
    best_result,
    load_cases,
)

MakePlan = Callable[..., Plan]
Run = Callable[..., list[TrialResult]]


def content(results: list[TrialResult]) -> list[tuple[Any, ...]]:
    """All of the results but how long they took."""
    return [(r.number, r.outcome, r.settings, r.value, r.same_as) for r in results]


def begun(folder: Path) -> list[tuple[int, int]]:
    """Number and process of each trial that a worker began."""
    lines = (folder / "begun").read_text().splitlines()
    return [(int(number), int(process)) for number, process in map(str.split, lines)]


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_the_same_seed_gives_the_same_trials(
    make_plan: MakePlan, run: Run, tmp_path: Path, method: str
) -> None:
    plans = [make_plan(method=method, trials=4, seed=seed) for seed in (7, 7, 8)]
    one, two, other = (content(run(plan, tmp_path / str(n))) for n, plan in enumerate(plans))
    assert one == two
    assert [t[2] for t in one[1:]] != [t[2] for t in other[1:]]


def test_trial_0_has_the_current_settings_and_the_others_are_in_the_space(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    results = run(make_plan(trials=5))
    assert [r.number for r in results] == list(range(6))
    assert results[0].settings == {"learning_rate": 1e-3, "dropout": 0.4, "dimension": 32}
    assert all(r.settings["dimension"] in (16, 32, 64) for r in results)
    best = best_result(results)
    assert best is not None and best.value == max(r.value or 0 for r in results)
    for result in results:
        assert load_cases(tmp_path / f"cases/{result.number}.npz")[1].mean() == pytest.approx(
            result.value, abs=0.01
        )


def test_workers_side_by_side_run_each_trial_once(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    results = run(make_plan(trials=9, workers=3, method="tpe"), together=3)
    assert [r.number for r in results] == list(range(10))
    runs = begun(tmp_path)
    assert set(Counter(number for number, _ in runs).values()) == {1}
    assert len({process for _, process in runs}) == 3
    assert results[0].outcome == DONE


def test_more_trials_go_on_with_those_that_are_there(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    lines: list[str] = []
    few = content(run(make_plan(trials=3)))
    more = content(run(make_plan(trials=6), log=lines.append))
    assert more[:4] == few
    assert len(more) == 7
    assert len(begun(tmp_path)) == 7
    assert "; 4 done before" in lines[0]
    assert content(run(make_plan(trials=6))) == more
    assert len(begun(tmp_path)) == 7


SEARCH = """
import json, sys
from pathlib import Path
from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning.search import search
from decant.tuning.space import Plan
from decant.tuning.study import Study
job, here = json.loads(sys.argv[1]), Path.cwd()
plan = Plan(Tune(**job["tune"]), Training(**job["block"]), job["seed"])
search(plan, Study(here), job["command"], here, print)
"""


def start_in_a_process(
    plan: Plan, command: list[str], folder: Path, **options: Any
) -> subprocess.Popen[str]:
    """A search of its own whose workers both have a trial, one of which does not end."""
    job = {"tune": plan.tune.model_dump(), "block": plan.block.model_dump(), "seed": plan.seed}
    arguments = [sys.executable, "-c", SEARCH, json.dumps({**job, "command": command})]
    process = subprocess.Popen(arguments, cwd=folder, text=True, **options)
    while not (folder / "begun").exists() or not {3, 4} <= {*dict(begun(folder))}:
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_a_search_that_is_killed_goes_on_and_leaves_no_process(
    make_plan: MakePlan, run: Run, worker: Callable[..., list[str]], tmp_path: Path
) -> None:
    plan = make_plan(trials=6, method="tpe", workers=2)
    process = start_in_a_process(plan, worker(plan, wait=3), tmp_path, stdout=subprocess.DEVNULL)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"op_code": 6, "trial')  # the kill came in the middle of a line
    before = Counter(number for number, _ in begun(tmp_path))
    lines: list[str] = []
    results = run(plan, log=lines.append)
    after = Counter(number for number, _ in begun(tmp_path))
    assert "interrupted, which run again" in lines[0]
    assert [r.number for r in results] == list(range(7))
    assert before[3] == 1 and after[3] == 2
    assert all(after[n] == 1 for n in (0, 1, 2))
    assert {r.outcome for r in results} <= {DONE, STOPPED}


def test_an_interrupt_ends_the_workers_and_is_no_other_error(
    make_plan: MakePlan, worker: Callable[..., list[str]], tmp_path: Path
) -> None:
    plan = make_plan(trials=500, workers=2)
    process = start_in_a_process(
        plan, worker(plan, wait=3), tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate()
    assert not any(child.is_running() for child in family)
    assert output.strip().endswith("KeyboardInterrupt")
    assert "is closed" not in output and "Exception ignored" not in output


def test_interrupted_or_not_the_trials_are_the_same(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    plan = make_plan(trials=6, method="tpe")
    whole = content(run(plan, tmp_path / "whole"))

    class InterruptedTestError(RuntimeError):
        pass

    def interrupt(line: str) -> None:
        if line.startswith("trial 2 "):
            raise InterruptedTestError

    with pytest.raises(InterruptedTestError):
        run(plan, tmp_path / "cut", log=interrupt)
    assert not psutil.Process().children()
    assert content(run(plan, tmp_path / "cut")) == whole


def test_a_variable_of_the_callers_context_holds_where_lines_are_logged(
    make_plan: MakePlan, run: Run
) -> None:
    place = ContextVar("place", default="lost")
    place.set("known")
    heard: set[str] = set()
    run(make_plan(trials=1, workers=2), log=lambda line: heard.add(place.get()))
    assert heard == {"known"}


def test_settings_that_do_not_fit_are_counted_and_not_trained(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    space = {"heads": {"choices": [2, 3]}, "dimension": {"choices": [32, 48]}}
    lines: list[str] = []
    results = run(make_plan(method="grid", trials=9, space=space), log=lines.append)
    unfit = [r for r in results if r.outcome == UNFIT]
    assert [r.settings for r in unfit] == [{"heads": 3, "dimension": 32}]
    assert unfit[0].why == "dimension 32 is not a multiple of heads 3"
    again = [r for r in results if r.same_as is not None]
    assert [(r.same_as, r.settings) for r in again] == [(0, {"heads": 2, "dimension": 32})]
    assert again[0].value == results[0].value
    assert len(results) == 1 + 4  # the whole grid
    assert len(begun(tmp_path)) == 3
    assert any("unfit (dimension 32 is not a multiple of heads 3)" in line for line in lines)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"diverge": 2}, "the loss is not a number"),
        ({"crash": 2}, r"its process ended with status 1, see .*worker-\d\.log"),
        ({"torn": 2}, r"its process ended by signal 9, see .*worker-\d\.log"),
    ],
)
def test_a_trial_that_fails_is_neither_the_end_of_the_search_nor_of_another_trial(
    make_plan: MakePlan, run: Run, tmp_path: Path, job: Any, why: str
) -> None:
    lines: list[str] = []
    results = run(make_plan(trials=4, workers=2), log=lines.append, together=2, **job)
    assert [r.outcome for r in results] == [DONE, DONE, FAILED, DONE, DONE]
    assert re.fullmatch(why, results[2].why)
    assert [line for line in lines if line.startswith("trial 2 of 4: failed (")]
    assert Counter(number for number, _ in begun(tmp_path)) == dict.fromkeys(range(5), 1)
    logs = "".join(path.read_text() for path in tmp_path.glob("worker-*.log"))
    assert ("ZeroDivisionError" in logs) == ("crash" in job)


def test_a_trial_without_the_name_of_its_lost_worker_is_run_again(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    results = run(make_plan(trials=4), nameless=2)
    assert [r.outcome for r in results] == [DONE] * 5
    assert [number for number, _ in begun(tmp_path)] == [0, 1, 3, 4, 2]


def test_a_worker_that_is_lost_between_two_trials_fails_none(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    study = Study(tmp_path)
    assert study.begin(make_plan()) is not None
    study.finish(0, {"outcome": DONE, "value": 0.5})
    assert note_loss(make_plan(), study, os.getpid(), "gone") == []
    assert [r.outcome for r in study.results()] == [DONE]


def test_a_full_disk_ends_the_search_and_its_trial_is_run_again(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match=r"^trial 2: .*No space left.* to resume$"):
        run(make_plan(trials=3), full=2)
    (tmp_path / "room").touch()
    results = run(make_plan(trials=3), full=2)
    assert [r.outcome for r in results] == [DONE] * 4
    assert [number for number, _ in begun(tmp_path)] == [0, 1, 2, 2, 3]


def test_data_that_cannot_be_prepared_is_one_line_and_no_trial(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match="^fold 3 of 3 has no user$"):
        run(make_plan(workers=2), prepare="not")
    assert Study(tmp_path).results() == []


def test_a_worker_that_cannot_start_ends_the_search(
    make_plan: MakePlan, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "decant.py").write_text("raise ZeroDivisionError")
    with pytest.raises(SearchError, match=r"could not begin a trial: .* status 1, see .*0\.log$"):
        run(make_plan())


def test_a_search_that_has_lost_its_journal_says_that_it_starts_anew(
    make_plan: MakePlan, run: Run, tmp_path: Path
) -> None:
    run(make_plan(trials=1))
    (tmp_path / JOURNAL).write_bytes(b"")
    lines: list[str] = []
    assert len(run(make_plan(trials=1), log=lines.append)) == 2
    assert lines[0] == f"{tmp_path / JOURNAL} has lost its trials: they run again"


@pytest.mark.parametrize(
    ("job", "why"), [("diverge", "the loss is not a number$"), ("die", "its process ended by")]
)
def test_current_settings_that_cannot_be_trained_end_it_and_are_tried_again(
    make_plan: MakePlan, run: Run, job: str, why: str
) -> None:
    said = f"^the current settings of teacher cannot be trained: {why}"
    with pytest.raises(SearchError, match=said):
        run(make_plan(trials=2), **{job: 0})
    assert [r.outcome for r in run(make_plan(trials=2))] == [DONE] * 3


def test_a_trial_worse_than_half_of_the_others_is_stopped_early(
    make_plan: MakePlan, run: Run
) -> None:
    plan = make_plan({"epochs": 4}, trials=20, space={"dropout": {"low": 0.0, "high": 0.9}})
    results = run(plan)
    stopped = [r for r in results if r.outcome == STOPPED]
    values = [r.value for r in results if r.value is not None and r.outcome == DONE]
    assert stopped and len(values) >= 5
    assert all(r.why == "worse than half of the trials" for r in stopped)
    for result in stopped:
        assert 0.5 - (result.settings["dropout"] - 0.2) ** 2 < max(values)


def test_each_trial_is_a_line_with_its_value_the_best_and_the_time_left(
    make_plan: MakePlan, run: Run
) -> None:
    lines: list[str] = []
    run(make_plan(trials=2), log=lines.append)
    assert lines[0].startswith("3 trials of teacher (random; 0 has the current settings), 1 fold ")
    shape = (
        r"trial 1 of 2: NDCG@10 0\.\d{4} \[.*dropout .*\], best 0\.\d{4} \(trial \d\), "
        r"\d:\d\d:\d\d left"
    )
    assert re.fullmatch(shape, lines[2]), lines[2]
    assert lines[3].endswith(")") and len(lines) == 4
