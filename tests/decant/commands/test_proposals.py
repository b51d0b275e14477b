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
    assert known == Habits(clock=True, repeats=0.4, together=0.8, users=1, returning=1)
    settings, lines = propose(known)
    assert settings["features"] == {"exclude_seen": False, "baskets": True}
    fits = ["basket", "previous", "together", "recency", "frequency", "popularity"]
    assert settings["teacher"] == {"experts": fits}
    assert settings["distill"] == {"experts": fits, "dimension": 32}
    assert settings["split"] == {"method": "time", "cases_per_user": 20}
    assert "40% of the events are of an item that the user took before" in lines[0]
    assert "80% of the events share their moment" in lines[1]
    assert "basket, previous, together, recency, frequency, popularity" in lines[2]
    assert "1 of 1 users" in lines[4] and "the start of a basket" in lines[5]


def test_an_item_twice_in_one_moment_is_no_repeat(tmp_path: Path) -> None:
    rows = "user,item,t\na,1,2026-01-01\na,1,2026-01-01\nb,1,2026-01-01\n"
    assert habits_in(tmp_path, rows, time="t").repeats == 0


def test_without_times_there_are_no_baskets_and_the_last_event_is_left_out(tmp_path: Path) -> None:
    known = habits_in(tmp_path, "user,item\na,1\na,1\na,2\nb,7\n")
    assert known == Habits(clock=False, repeats=0.25, together=0, users=2)
    settings, lines = propose(known)
    assert settings["features"] == {"exclude_seen": False, "baskets": False}
    fits = ["chain", "together", "recency", "frequency", "popularity"]
    assert settings["teacher"] == settings["distill"] == {"experts": fits}
    assert settings["split"] == {"method": "leave-one-out"}
    assert "`ingest.time` is null" in lines[1] and "leave-one-out" in lines[3]


def test_who_acts_in_the_latest_tenth_and_before_is_counted(tmp_path: Path) -> None:
    """Of ten events the last one is in the window: b's, who acted before; c did not come back."""
    rows = [
        "user,item,t",
        *(f"{user},{n},2026-01-{n:02}" for n, user in enumerate("aabcaaaaab", 1)),
    ]
    known = habits_in(tmp_path, "\n".join(rows), time="t")
    assert (known.users, known.returning) == (3, 1)
    newcomer = [*rows[:-1], "d,10,2026-01-10"]
    assert habits_in(tmp_path, "\n".join(newcomer), time="t").returning == 0


@pytest.mark.parametrize(
    ("users", "returning", "method", "cases"),
    [
        (943, 98, "by-user", 20),
        (943, 499, "time", 4),
        (6000, 500, "time", 4),
        (10, 5, "by-user", 20),
    ],
)
def test_where_few_users_come_back_the_last_events_of_every_user_are_held_out(
    users: int, returning: int, method: str, cases: int
) -> None:
    settings, lines = propose(Habits(True, 0.0, 0.0, users, returning))
    assert settings["split"] == {"method": method, "cases_per_user": cases}
    assert f"{returning:,} of {users:,} users" in lines[3]


@pytest.mark.parametrize(("share", "excluded"), [(0.0, True), (0.04, True), (0.05, False)])
def test_few_repeats_are_not_worth_recommending(share: float, excluded: bool) -> None:
    settings, _ = propose(Habits(True, share, 0.0, users=9000, returning=900))
    assert settings["features"] == {"exclude_seen": excluded, "baskets": False}
    assert ("recency" in settings["distill"]["experts"]) != excluded
    assert settings["split"] == {"method": "time", "cases_per_user": 4}
