"""The ranks of two runs side by side."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.diff.cache import NotCachedError
from decant.diff.ranks import (
    pair,
    read_cases,
    read_groups,
    same_index,
    served,
    with_persistent_keys,
)


def test_everybody_has_the_rank_of_who_serves_them() -> None:
    cases = pd.DataFrame(
        {
            "model": ["general/int8", "women/int8"] * 2,
            "window": "test",
            "user": [0, 0, 1, 1],
            "position": [5, 5, 9, 9],
            "rank": [4, 3, 2, 1],
        }
    )
    groups = pd.Series({0: "women", 1: "general"})
    assert served(cases, groups, {"women": "women"})["rank"].tolist() == [3, 2]
    assert served(cases, groups, {"women": "general"})["rank"].tolist() == [4, 2]
    assert set(served(cases, groups, {})["model"]) == {"family"}


def test_users_of_a_folded_segment_are_generals(project: Any, new_run: Callable[..., Any]) -> None:
    """Their array stays, and they are among general's too."""
    run = new_run()
    project.commit(run)
    files = dict(run.files())
    folded = new_run()
    files["data/segments/_served_by_general.npy"] = new_run(
        women=np.zeros(0, dtype=np.int32)
    ).files()["data/segments/_served_by_general.npy"]
    folded.files = lambda: files
    project.commit(folded)
    assert set(read_groups(project.side("HEAD~1"))) == {"women", "general"}
    assert set(read_groups(project.side("HEAD"))) == {"general"}


def test_numbers_of_users_are_the_same_as_long_as_the_arrays_are(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    project.commit(new_run())
    project.commit(better)
    project.commit(new_run(people=["q"] * 60))
    first, second, third = (project.side(name).outputs for name in ("HEAD~2", "HEAD~1", "HEAD"))
    assert same_index(first, second)
    assert not same_index(second, third)


def test_without_the_list_of_files_the_whole_folders_are_compared(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    project.commit(new_run())
    project.commit(better)
    first, second = (project.side(name).outputs for name in ("HEAD~1", "HEAD"))
    project.cache_path(first.hashes["data/features"]).unlink()
    assert same_index(first, second)


def test_lasting_names_hold_without_a_clock(project: Any, new_run: Callable[..., Any]) -> None:
    run = new_run()
    files = dict(run.files())
    clockless = np.full(120, np.nan)
    run.files = lambda: files
    files["data/features/sequences/times.npy"] = as_bytes(clockless)
    project.commit(run)
    outputs = project.side("HEAD").outputs
    cases = read_cases(outputs).query("model == 'teacher'")
    rows, groups = with_persistent_keys(cases, pd.Series({0: "women", 1: "general"}), outputs)
    assert set(rows["event"]) == {"i1@nan", "i2@nan"}
    assert groups.to_dict() == {"p000": "women", "p001": "general"}


def as_bytes(values: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=False)
    return sink.getvalue()


def test_every_case_of_both_is_paired_once(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    project.commit(new_run())
    project.commit(better)
    paired = pair(project.side("HEAD~1"), project.side("HEAD"))
    assert len(paired.ranks) == 2 * 2 * 60  # windows, models, users
    assert not paired.ranks.duplicated(["window", "user", "model"]).any()
    assert paired.cases["a"] == {"validation": 60, "test": 60}


def test_of_a_user_with_several_cases_each_is_paired_with_itself(
    project: Any, new_run: Callable[..., Any], better: Any
) -> None:
    def several(run: Any, backwards: bool) -> Any:
        once = run.cases()
        twice = pd.concat([once, once.assign(position=once["position"] + 1000)])
        twice = twice.assign(rank=1 + twice["position"] % 1009)
        run.cases = lambda: twice[::-1] if backwards else twice
        return run

    project.commit(several(new_run(), backwards=False))
    project.commit(several(better, backwards=True))
    paired = pair(project.side("HEAD~1"), project.side("HEAD"))
    assert len(paired.ranks) == 2 * 2 * 2 * 60  # cases, windows, models, users
    assert (paired.ranks["a"] == paired.ranks["b"]).all()


def test_ranks_of_another_layout_are_told(project: Any, new_run: Callable[..., Any]) -> None:
    run = new_run()
    run.cases = lambda: pd.DataFrame({"model": ["teacher"], "place": [1]})
    project.commit(run)
    with pytest.raises(NotCachedError, match=r"another layout \(no position, rank, user, window"):
        read_cases(project.side("HEAD").outputs)
