import numpy as np
import pytest

from decant.data.rules import latest_plausible, rules_for
from decant.features.values import EARLIEST, LATEST

DAY = 86_400.0
START = 1_700_000_000.0


def test_a_few_times_behind_a_silent_year_are_in_the_future() -> None:
    times = START + np.arange(100) * DAY
    late = START + np.array([900, 40_000]) * DAY
    assert latest_plausible(np.concatenate([late, times])) == times[-1]


def test_a_log_that_resumes_after_a_silent_year_is_not_in_the_future() -> None:
    times = START + np.concatenate([np.arange(50), 900 + np.arange(50)]) * DAY
    assert latest_plausible(times) == times[-1]


def test_a_thin_tail_is_not_in_the_future() -> None:
    times = START + np.concatenate([np.arange(100), 100 + np.arange(5) * 300.0]) * DAY
    assert latest_plausible(times) == times[-1]


def test_missing_and_ancient_times_do_not_matter() -> None:
    times = np.array([np.nan, 0.0, EARLIEST - 1, START, *[LATEST] * 9])
    assert latest_plausible(times) == START
    assert np.isnan(latest_plausible(np.array([np.nan])))


@pytest.mark.parametrize(
    ("source", "users", "known_users", "known_items"),
    [
        ("demo", 5, True, True),
        ("movielens-100k", 5, True, True),
        ("movielens-1m", 0, False, True),
        ("online-retail", 5, False, False),
        ("files", 5, False, True),
    ],
)
def test_which_sources_know_all_their_users_and_items(
    source: str, users: int, known_users: bool, known_items: bool
) -> None:
    rules = rules_for(source, clock=True, users=users, items=3)
    assert (rules.known_users, rules.known_items) == (known_users, known_items)


def test_a_catalogue_that_lags_behind_makes_no_item_unknown() -> None:
    lagging = rules_for("files", clock=True, users=0, items=3, keep_unknown_items=True)
    assert not lagging.known_items


def test_without_an_items_table_every_item_is_known_and_no_rating_asked_for() -> None:
    rules = rules_for("movielens-1m", clock=False, users=0, items=0)
    assert not rules.known_items and not rules.rated and not rules.clock
