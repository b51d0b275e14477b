"""Every trial is made once, whatever is killed; bad ones do not end the search."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import psutil
import pytest

from decant.files import Unusable
from decant.tuning.journal import JOURNAL
from decant.tuning.plan import Plan
from decant.tuning.search import Hindered, NowFails, search
from decant.tuning.tried import DONE, FAILED, STOPPED, UNFIT, Tried, best_of

MakePlan = Callable[..., Plan]
MakeWorkers = Callable[..., Any]


def silent(line: str) -> None:
    """Nobody listens."""


def told(tried: list[Tried]) -> list[tuple[Any, ...]]:
    """All of the trials but how long they took."""
    return [(t.number, t.outcome, t.chosen, t.value, t.same_as) for t in tried]


def made(folder: Path) -> list[tuple[int, int]]:
    """Number and process of each trial that a worker began."""
    lines = (folder / "made").read_text().splitlines()
    return [(int(number), int(process)) for number, process in map(str.split, lines)]


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_the_same_seed_gives_the_same_trials(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path, method: str
) -> None:
    plans = [make_plan(method=method, trials=4, seed=seed) for seed in (7, 7, 8)]
    one, two, other = (
        told(search(plan, tmp_path / str(n), make_workers(), silent))
        for n, plan in enumerate(plans)
    )
    assert one == two
    assert [t[2] for t in one[1:]] != [t[2] for t in other[1:]]


def test_trial_0_is_as_it_is_now_and_the_others_are_in_the_space(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    tried = search(make_plan(trials=5), tmp_path, make_workers(), silent)
    assert [t.number for t in tried] == list(range(6))
    assert tried[0].chosen == {"learning_rate": 1e-3, "dropout": 0.4, "dimension": 32}
    assert all(t.chosen["dimension"] in (16, 32, 64) for t in tried)
    best = best_of(tried)
    assert best is not None and best.value == max(t.value or 0 for t in tried)


def test_workers_side_by_side_make_each_trial_once(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan(trials=9)
    tried = search(plan, tmp_path, make_workers(3), silent)
    assert [t.number for t in tried] == list(range(10))
    begun = made(tmp_path)
    assert set(Counter(number for number, _ in begun).values()) == {1}
    assert len({process for _, process in begun}) == 3
    assert tried[0].outcome == DONE


def test_more_trials_go_on_with_those_that_are_there(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    lines: list[str] = []
    few = told(search(make_plan(trials=3), tmp_path, make_workers(), silent))
    more = told(search(make_plan(trials=6), tmp_path, make_workers(), lines.append))
    assert more[:4] == few
    assert len(more) == 7
    assert len(made(tmp_path)) == 7
    assert "; 4 done before" in lines[0]
    assert told(search(make_plan(trials=6), tmp_path, make_workers(), silent)) == more
    assert len(made(tmp_path)) == 7


SEARCH = """
import sys
from pathlib import Path
from decant.tuning.plan import Plan
from decant.tuning.search import search
from decant.tuning.workers import Worker
from decant.params.models import Training
from decant.params.search import Tune
import json
told = json.loads(sys.argv[1])
plan = Plan(Tune(**told["tune"]), Training(**told["block"]), told["seed"])
here = Path.cwd()
command = (sys.executable, "-c", told["worker"])
job = {"folder": str(here), "wait": 3}
search(plan, here, [Worker(command, job, here, here / f"w{n}.log") for n in (0, 1)], print)
"""


def test_a_search_that_is_killed_goes_on_and_leaves_no_process(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan, (worker,) = make_plan(trials=6, method="tpe"), make_workers()
    asked = {"tune": plan.tune.model_dump(), "block": plan.block.model_dump(), "seed": plan.seed}
    run = subprocess.Popen(
        [sys.executable, "-c", SEARCH, json.dumps({**asked, "worker": worker.command[-1]})],
        cwd=tmp_path, env={**os.environ}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while not (tmp_path / "made").exists() or 4 not in dict(made(tmp_path)):
        assert run.poll() is None
        time.sleep(0.02)
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) == 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"op_code": 6, "trial')  # the kill came in the middle of a line
    with suppress(FileExistsError):  # the kill may have left one
        (tmp_path / f"{JOURNAL}.lock").symlink_to(JOURNAL)
    before = Counter(number for number, _ in made(tmp_path))
    lines: list[str] = []
    tried = search(plan, tmp_path, make_workers(), lines.append)
    after = Counter(number for number, _ in made(tmp_path))
    assert "interrupted and made again" in lines[0]
    assert [t.number for t in tried] == list(range(7))
    assert before[3] == 1 and after[3] == 2
    assert all(after[n] == 1 for n in (0, 1, 2))
    assert {t.outcome for t in tried} <= {DONE, STOPPED}


def test_interrupted_or_not_the_trials_are_the_same(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan(trials=6, method="tpe")
    whole = told(search(plan, tmp_path / "whole", make_workers(), silent))

    class Interrupted(RuntimeError):
        pass

    def interrupt(line: str) -> None:
        if line.startswith("trial 2 "):
            raise Interrupted

    with pytest.raises(Interrupted):
        search(plan, tmp_path / "cut", make_workers(), interrupt)
    assert told(search(plan, tmp_path / "cut", make_workers(), silent)) == whole


def test_what_is_set_for_the_caller_holds_where_its_lines_are_said(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    place = ContextVar("place", default="lost")
    place.set("found")
    heard: set[str] = set()
    search(make_plan(trials=1), tmp_path, make_workers(2), lambda line: heard.add(place.get()))
    assert heard == {"found"}


def test_settings_that_do_not_fit_are_counted_and_not_trained(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    space = {"heads": {"choices": [2, 3]}, "dimension": {"choices": [32, 48]}}
    lines: list[str] = []
    plan = make_plan(method="grid", trials=9, space=space)
    tried = search(plan, tmp_path, make_workers(), lines.append)
    unfit = [t for t in tried if t.outcome == UNFIT]
    assert [t.chosen for t in unfit] == [{"heads": 3, "dimension": 32}]
    assert unfit[0].why == "dimension 32 is not a multiple of heads 3"
    again = [t for t in tried if t.same_as is not None]
    assert [(t.same_as, t.chosen) for t in again] == [(0, {"heads": 2, "dimension": 32})]
    assert len(tried) == 1 + 4  # the whole grid
    assert len(made(tmp_path)) == 3
    assert any("unfit (dimension 32 is not a multiple of heads 3)" in line for line in lines)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"diverge": 2}, "the loss is not a number"),
        ({"crash": 2}, "its process ended with status 1, see .*w0.log"),
        ({"die": 2}, "its process ended by signal 9, see .*w0.log"),
    ],
)
def test_a_trial_that_fails_is_not_the_end_of_the_search(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path, job: Any, why: str
) -> None:
    tried = search(make_plan(trials=3), tmp_path, make_workers(**job), silent)
    assert [t.outcome for t in tried] == [DONE, DONE, FAILED, DONE]
    assert re.fullmatch(why, tried[2].why)


def test_a_full_disk_ends_the_search_and_its_trial_is_made_again(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan(trials=3)
    with pytest.raises(Hindered, match=r"^trial 2: .*No space left.* goes on from here$"):
        search(plan, tmp_path, make_workers(full=2), silent)
    (tmp_path / "room").touch()
    tried = search(plan, tmp_path, make_workers(full=2), silent)
    assert [one.outcome for one in tried] == [DONE] * 4
    assert [number for number, _ in made(tmp_path)] == [0, 1, 2, 2, 3]


def test_a_search_that_has_lost_its_journal_says_that_it_starts_anew(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan(trials=1)
    search(plan, tmp_path, make_workers(), silent)
    (tmp_path / JOURNAL).write_bytes(b"")
    said: list[str] = []
    assert len(search(plan, tmp_path, make_workers(), said.append)) == 2
    assert said[0] == f"{tmp_path / JOURNAL} has lost its trials: they are made again"


@pytest.mark.parametrize(
    ("now", "then"), [('"told"', '"tald"'), ('"parameters"', '"size"'), ('"chosen"', '"picked"')]
)
def test_a_journal_of_another_version_is_one_line(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path, now: str, then: str
) -> None:
    plan = make_plan(trials=1)
    search(plan, tmp_path, make_workers(), silent)
    journal = tmp_path / JOURNAL
    journal.write_text(journal.read_text().replace(now, then))
    with pytest.raises(Unusable, match=rf"^{journal} cannot be used \(what became of a trial"):
        search(plan, tmp_path, make_workers(), silent)


def test_settings_of_now_that_cannot_be_trained_end_it_and_are_tried_again(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan(trials=2)
    with pytest.raises(NowFails, match="^teacher cannot be trained with its settings of now: the"):
        search(plan, tmp_path, make_workers(diverge=0), silent)
    assert len(search(plan, tmp_path, make_workers(), silent)) == 3


def test_a_trial_worse_than_half_of_the_others_is_stopped_early(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    plan = make_plan({"epochs": 4}, trials=20, space={"dropout": {"low": 0.0, "high": 0.9}})
    tried = search(plan, tmp_path, make_workers(), silent)
    stopped = [t for t in tried if t.outcome == STOPPED]
    ended = [t.value for t in tried if t.value is not None and t.outcome == DONE]
    assert stopped and len(ended) >= 5
    assert all(t.why == "worse than half of the trials" for t in stopped)
    for t in stopped:
        assert 0.5 - (t.chosen["dropout"] - 0.2) ** 2 < max(ended)


def test_each_trial_is_told_with_its_value_the_best_and_the_time_left(
    make_plan: MakePlan, make_workers: MakeWorkers, tmp_path: Path
) -> None:
    lines: list[str] = []
    search(make_plan(trials=2), tmp_path, make_workers(), lines.append)
    assert lines[0].startswith("3 trials of teacher (random; 0 is as it is now), 1 fold each")
    shape = (
        r"trial 1 of 2: NDCG@10 0\.\d{4} \[.*dropout .*\], best 0\.\d{4} \(trial \d\), \d+ s left"
    )
    assert re.fullmatch(shape, lines[2]), lines[2]
    assert lines[3].endswith(")") and len(lines) == 4
