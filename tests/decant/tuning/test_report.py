"""A change is proposed only if it is surely better; its diff keeps the comments."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from decant.params.load import load_params, parse_params
from decant.tuning.report import (
    Comparison,
    compare,
    proposal,
    table,
    user_quality,
    verdict,
    write,
)
from decant.tuning.space import Plan
from decant.tuning.study import DONE, FAILED, UNFIT, TrialResult, cases_path, save_cases

REPOSITORY = Path(__file__).resolve().parents[3]
SPACE = {"dropout": {"low": 0.0, "high": 0.5}, "learning_rate": {"low": 1e-5, "high": 1e-1}}
CURRENT = {"dropout": 0.0, "learning_rate": 0.003}
BETTER = {"dropout": 0.21, "learning_rate": 0.003}


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    return make_plan(space=SPACE)


def compared(plan: Plan, folder: Path, gain: float, noise: float, **more: Any) -> Comparison:
    """Two trials whose users differ by `gain` on average, and by `noise` each."""
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(80), 2)
    base = rng.random(160) * 0.2
    difference = np.repeat(rng.standard_normal(80), 2) * noise
    better = base + difference - difference.mean() + gain
    save_cases(cases_path(folder, 0), users, base)
    save_cases(cases_path(folder, 1), users, better)
    results = [
        TrialResult(0, DONE, CURRENT, float(base.mean()), seconds=61.0, parameters=1200),
        TrialResult(1, DONE, BETTER, float(better.mean()), seconds=3.0, parameters=2400),
        TrialResult(2, UNFIT, {"dropout": 0.4, "learning_rate": 0.1}, why="does not fit"),
        TrialResult(3, FAILED, {"dropout": 0.3, "learning_rate": 0.1}, why="diverged"),
        *more.get("others", []),
    ]
    return compare(plan, results, folder, 500)


def test_what_is_surely_better_is_proposed_as_a_diff_that_keeps_comments(
    plan: Plan, tmp_path: Path
) -> None:
    text = (REPOSITORY / "params.yaml").read_text()
    comparison = compared(plan, tmp_path, gain=0.05, noise=0.05)
    assert comparison.changes == {"dropout": 0.21}
    after, diff = proposal(comparison, text)
    changed = [line for line in diff.splitlines() if line[0] in "+-"]
    assert changed[:2] == ["--- a/params.yaml", "+++ b/params.yaml"]
    assert [line.partition("#")[0].rstrip() for line in changed[2:]] == [
        "-  dropout: 0.1",
        "+  dropout: 0.21",
    ]
    assert after.count("#") == text.count("#")
    params = parse_params(yaml.safe_load(after))
    assert params.teacher.dropout == 0.21
    assert params.distill == load_params(REPOSITORY / "params.yaml").distill


def test_the_diff_can_be_applied_by_git(plan: Plan, tmp_path: Path) -> None:
    text = (REPOSITORY / "params.yaml").read_text()
    comparison = compared(plan, tmp_path / "search", gain=0.05, noise=0.05)
    after, diff = proposal(comparison, text)
    write(comparison, tmp_path / "search", diff)
    (tmp_path / "params.yaml").write_text(text)
    subprocess.run(["git", "apply", "search/params.diff"], cwd=tmp_path, check=True)
    assert (tmp_path / "params.yaml").read_text() == after


def test_what_may_be_noise_is_not_proposed_and_the_verdict_says_so(
    plan: Plan, tmp_path: Path
) -> None:
    comparison = compared(plan, tmp_path, gain=0.005, noise=0.2)
    assert comparison.best.number == 1 and comparison.gain is not None
    assert comparison.gain.low < 0 < comparison.gain.high
    assert comparison.changes == {}
    assert "the interval includes 0, so it may be noise: nothing changes" in verdict(comparison)
    text = (REPOSITORY / "params.yaml").read_text()
    assert proposal(comparison, text) == (text, "")


def test_where_nothing_is_better_nothing_changes(plan: Plan, tmp_path: Path) -> None:
    comparison = compared(plan, tmp_path, gain=-0.02, noise=0.01)
    assert (comparison.best.number, comparison.gain, comparison.changes) == (0, None, {})
    assert (
        verdict(comparison)
        == "no trial is better than the current settings of teacher: nothing changes"
    )


def test_the_gain_is_paired_over_users(plan: Plan, tmp_path: Path) -> None:
    comparison = compared(plan, tmp_path, gain=0.05, noise=0.05)
    ours, theirs = (user_quality(tmp_path, one) for one in (comparison.best, comparison.current))
    assert comparison.gain is not None and comparison.gain.n == len(ours) == 80
    assert comparison.gain.gain == pytest.approx((ours - theirs).mean()) == pytest.approx(0.05)
    said = verdict(comparison)
    assert (
        f"[{comparison.gain.low:+.4f}, {comparison.gain.high:+.4f}] per user (95 %, 80 users)"
        in said
    )
    assert "the best of 1 on these users, so expect less on others" in said


def test_the_table_has_the_best_first_and_always_the_current_settings(
    plan: Plan, tmp_path: Path
) -> None:
    others = [TrialResult(n, DONE, BETTER, 0.5 + n / 100, seconds=1.0) for n in range(4, 20)]
    for one in others:
        save_cases(cases_path(tmp_path, one.number), np.arange(80), np.full(80, one.value or 0.0))
    comparison = compared(plan, tmp_path, gain=0.05, noise=0.05, others=others)
    lines = table(comparison).splitlines()
    assert lines[0].split() == [
        "trial", "NDCG@10", "vs", "current", "dropout", "learning_rate", "parameters", "time",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:-1]] == ["19", *map(str, range(18, 10, -1)), "0"]
    assert lines[-2].split()[:2] == ["0", "(current)"]
    assert lines[-1] == "20 trials: 1 invalid combinations, 1 failed"
    assert len({len(line) for line in lines[:-1]}) == 1


def test_all_trials_are_written_and_a_diff_only_where_there_is_one(
    plan: Plan, tmp_path: Path
) -> None:
    comparison = compared(plan, tmp_path, gain=0.05, noise=0.05)
    write(comparison, tmp_path, "a diff\n")
    assert (tmp_path / "params.diff").read_text() == "a diff\n"
    document = json.loads((tmp_path / "trials.json").read_text())
    assert [t["number"] for t in document["trials"]] == [0, 1, 2, 3]
    assert document["trials"][2]["why"] == "does not fit"
    assert document["gain"]["low"] > 0 and document["changes"] == {"dropout": 0.21}
    write(comparison, tmp_path, "")
    assert not (tmp_path / "params.diff").exists()
    assert not list(tmp_path.glob(".*.tmp"))
