"""A group's profile: what its users like, are and take, beside all users."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.data.prepare import Prepared, prepare
from decant.data.profile import profile_line, profiles
from decant.params.data import Features, Split

GROUPS = {"young": np.array([0, 1]), "general": np.array([2, 3])}
FEATURES = Features(attributes=["age", "gender"], interest_tags=1, impute="median")
TAKEN = {"a": ["hose", "hose", "rake"], "b": ["hose", "pan", "pan"], "c": ["pan"], "d": ["pan"]}


@pytest.fixture
def prepared() -> Prepared:
    rows = [
        (user, item, "purchase", 1e6 * place)
        for user, items in TAKEN.items()
        for place, item in enumerate(items)
    ]
    events = pd.DataFrame(rows, columns=["user", "item", "behaviour", "time"]).assign(rating=np.nan)
    users = pd.DataFrame(
        {
            "user": list("abcd"),
            "age": [20.0, 22, 60, np.nan],
            "gender": ["F", None, "M", "F"],
            "name": ["ann", "bob", "cem", "dot"],
        }
    )
    items = pd.DataFrame(
        {
            "item": ["hose", "pan", "rake"],
            "category": ["garden", "kitchen", "garden"],
            "price": [10.0, 40, np.nan],
        }
    )
    return prepare(events, users, items, FEATURES, Split(method="leave-one-out"))


def profile(prepared: Prepared, group: str = "young", **groups: np.ndarray) -> dict[str, Any]:
    result = profiles(
        prepared.user_features, prepared.items, prepared.sequences, groups or GROUPS,
        prepared.encoder.attributes,
    )  # fmt: skip
    return result[group]


def test_interests_are_shares_of_a_groups_users_beside_all_users(prepared: Prepared) -> None:
    assert profile(prepared)["tags"] == [
        {"tag": "garden", "share": 0.5, "lift": 2.0},
        {"tag": "kitchen", "share": 0.5, "lift": 0.6667},
    ]
    assert [tag["tag"] for tag in profile(prepared, "general")["tags"]] == ["kitchen"]


def test_a_median_is_of_known_values_and_a_deviation_of_imputed_ones(prepared: Prepared) -> None:
    filled = np.array([20.0, 22, 60, 22])  # the last one by the median
    deviation = (filled - filled.mean()) / filled.std()
    young, general = (profile(prepared, name)["numbers"]["age"] for name in GROUPS)
    assert (young["median"], young["known"]) == (21, 2)
    assert young["deviation"] == pytest.approx(deviation[:2].mean(), abs=1e-4)
    assert (general["median"], general["known"]) == (60, 1)
    assert general["deviation"] == pytest.approx(deviation[2:].mean(), abs=1e-4)


def test_a_mean_fills_in_otherwise(prepared: Prepared) -> None:
    def deviation(method: str) -> float:
        features = FEATURES.model_copy(update={"impute": method})
        events = pd.DataFrame(
            [(u, "pan", "view", 1e6 * n) for n, u in enumerate("abcd")],
            columns=["user", "item", "behaviour", "time"],
        ).assign(rating=np.nan)
        users = prepared.users[["user", "age", "gender"]]
        items = pd.DataFrame({"item": ["pan"]})
        made = prepare(events, users, items, features, Split(method="leave-one-out"))
        return float(profile(made)["numbers"]["age"]["deviation"])

    assert deviation("mean") != deviation("median")


def test_what_a_group_takes_is_counted_before_the_validation_window(prepared: Prepared) -> None:
    # before it a has one hose, b too; c and d have nothing
    taken = profile(prepared)["taken"]["price"]
    assert taken == {"median": 10.0, "known": 2, "deviation": 0.0}
    assert profile(prepared, "general")["taken"]["price"]["known"] == 0


def test_a_group_that_takes_what_costs_more_deviates_upwards(prepared: Prepared) -> None:
    whole = replace(
        prepared.sequences,
        split=np.stack([np.diff(prepared.sequences.offsets)] * 2, axis=1),
    )
    everything = replace(prepared, sequences=whole)
    young, general = (profile(everything, name)["taken"]["price"] for name in GROUPS)
    assert young["median"] < general["median"] == 40
    assert young["deviation"] < 0 < general["deviation"]


def test_only_attributes_that_models_may_read_are_told(prepared: Prepared) -> None:
    result = profile(prepared)
    assert set(result["numbers"]) == {"age", "events"}
    assert result["values"] == {"gender": [{"value": "F", "share": 1.0}]}
    assert profile(prepared, "general")["values"]["gender"] == [
        {"value": "F", "share": 0.5}, {"value": "M", "share": 0.5},
    ]  # fmt: skip
    assert "cem" not in str(result)


def test_a_group_without_users_has_a_profile_of_nothing(prepared: Prepared) -> None:
    result = profile(prepared, "general", general=np.array([], dtype=np.int32))
    assert result["tags"] == [] and result["values"] == {"gender": []}
    assert result["numbers"]["age"] == {"median": None, "known": 0, "deviation": None}
    assert profile_line("general", result) == "general: no users"


def test_a_profile_is_one_line_for_people(prepared: Prepared) -> None:
    said = profile_line("young", profile(prepared))
    assert said == (
        "young: likes garden 50% (2.0× usual), kitchen 50% (0.7× usual); "
        "median age 21, events 3, price 10; gender F 100%"
    )
