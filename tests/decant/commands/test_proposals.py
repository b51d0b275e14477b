from pathlib import Path
from typing import Any

import pytest

from decant.commands.proposals import Habits, habits, propose
from decant.data.sources.layout import check_present
from decant.params.data import Ingest


def habits_in(folder: Path, rows: str, **ingest: Any) -> Habits:
    (folder / "events.csv").write_text(rows)
    settings = Ingest(**ingest)
    return habits(check_present("files", folder, settings), settings)


def test_a_shop_with_baskets_and_repeats(tmp_path: Path) -> None:
    """Of five events four share their moment, and two are of items taken earlier."""
    days = {1: (1, 2), 9: (1, 2), 30: (3,)}
    taken = [f"a,{item},2026-01-{day:02}" for day, items in days.items() for item in items]
    rows = "\n".join(["user,item,t", *taken])
    known = habits_in(tmp_path, rows, time="t")
    assert known == Habits(clock=True, repeats=0.4, together=0.8)
    settings, lines = propose(known)
    assert settings["features"] == {"exclude_seen": False, "baskets": True}
    assert settings["split"] == {"method": "time", "cases_per_user": 20}
    assert "40% of the events are of an item that the user took before" in lines[0]
    assert "80% of the events share their moment" in lines[1]
    assert "the start of a basket" in lines[3]


def test_an_item_twice_in_one_moment_is_no_repeat(tmp_path: Path) -> None:
    rows = "user,item,t\na,1,2026-01-01\na,1,2026-01-01\nb,1,2026-01-01\n"
    assert habits_in(tmp_path, rows, time="t").repeats == 0


def test_without_times_there_are_no_baskets_and_the_last_event_is_left_out(tmp_path: Path) -> None:
    known = habits_in(tmp_path, "user,item\na,1\na,1\na,2\nb,7\n")
    assert known == Habits(clock=False, repeats=0.25, together=0)
    settings, lines = propose(known)
    assert settings == {"features": {"exclude_seen": False, "baskets": False}}
    assert "`ingest.time` is null" in lines[1] and "leave-one-out" in lines[2]


@pytest.mark.parametrize(("share", "excluded"), [(0.0, True), (0.04, True), (0.05, False)])
def test_few_repeats_are_not_worth_recommending(share: float, excluded: bool) -> None:
    settings, _ = propose(Habits(True, share, 0.0))
    assert settings["features"] == {"exclude_seen": excluded, "baskets": False}
    assert settings["split"] == {"method": "time", "cases_per_user": 4}
