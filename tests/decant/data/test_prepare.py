import re
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.data.prepare import (
    MOST_VALUES,
    FeaturesError,
    Prepared,
    fit_attribute,
    impute,
    prepare,
)
from decant.data.split import SplitError
from decant.features.sequences import TEST, Sequences, cases
from decant.params.data import Features, Split

LEAVE_ONE_OUT = Split(method="leave-one-out")
FEATURES = Features(attributes=["age", "gender"], merge_window=100, attribute_bins=2)
HOUR = 3600.0


def log(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows of (user, item, behaviour, time[, rating]) as validate leaves them."""
    table = pd.DataFrame(
        [(*row, np.nan)[:5] for row in rows],
        columns=["user", "item", "behaviour", "time", "rating"],
    )
    return table.astype({"time": float, "rating": float})


@pytest.fixture
def events() -> pd.DataFrame:
    return log(
        ("zoe", "pan", "view", 0),
        ("zoe", "pan", "cart", 30),
        ("adam", "hose", "view", 40),
        ("zoe", "pan", "purchase", 60),
        ("adam", "pan", "view", HOUR),
        ("zoe", "rake", "view", 2 * HOUR),
        ("adam", "hose", "purchase", 3 * HOUR),
        ("zoe", "hose", "cart", 4 * HOUR),
        ("zoe", "pan", "view", 5 * HOUR),
    )


@pytest.fixture
def users() -> pd.DataFrame:
    return pd.DataFrame(
        {"user": ["adam", "eve", "zoe"], "age": [20.0, 90, 40], "gender": list("MFF")}
    )


@pytest.fixture
def items() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": ["hose", "pan", "unseen"],
            "title": ["garden hose", "red pan", "x"],
            "category": ["garden", "kitchen", "x"],
            "price": [10.0, 30.0, 999.0],
        }
    )


Run = Any


@pytest.fixture
def run(events: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame) -> Run:
    def run(**changes: Any) -> Prepared:
        tables = {name: changes.pop(name, None) for name in ("events", "users", "items")}
        cut = changes.pop("cut", LEAVE_ONE_OUT)
        given = {"events": events, "users": users, "items": items}
        chosen = [given[n] if table is None else table for n, table in tables.items()]
        return prepare(*chosen, FEATURES.model_copy(update=changes), cut)

    return run


def of_user(sequences: Sequences, user: int, name: str) -> list[Any]:
    start, stop = sequences.offsets[user : user + 2]
    return getattr(sequences, name)[start:stop].tolist()


def test_users_are_numbered_as_they_appear_and_items_by_name(run: Run) -> None:
    made = run()
    assert made.users["user"].tolist() == ["zoe", "adam"]
    assert made.encoder.items == ("hose", "pan", "rake")
    assert made.items["item"].tolist() == ["hose", "pan", "rake"]
    assert of_user(made.sequences, 0, "items") == [2, 3, 1, 2]
    assert of_user(made.sequences, 1, "items") == [1, 2, 1]


def test_views_carts_and_purchases_of_one_item_are_one_event_of_the_strongest(run: Run) -> None:
    sequences, behaviours = run().sequences, ("view", "cart", "purchase")
    assert run().encoder.behaviours == behaviours
    names = [behaviours[b - 1] for b in of_user(sequences, 0, "behaviours")]
    assert names == ["purchase", "view", "cart", "view"]
    assert of_user(sequences, 0, "times") == [0, 2 * HOUR, 4 * HOUR, 5 * HOUR]


def test_baskets_are_the_same_whatever_the_order_of_the_rows(run: Run) -> None:
    rows = [("zoe", item, "view", time) for time in (0, HOUR) for item in ("pan", "rake", "hose")]
    both = [run(events=log(*order), baskets=True).sequences for order in (rows, rows[::-1])]
    for field in fields(Sequences):
        np.testing.assert_array_equal(*(getattr(made, field.name) for made in both))
    assert both[0].baskets.tolist() == [0, 0, 0, 1, 1, 1]
    assert run(events=log(*rows)).sequences.baskets.tolist() == [0, 1, 2, 3, 4, 5]


def test_baskets_without_times_are_refused(run: Run) -> None:
    with pytest.raises(FeaturesError, match=r"baskets is true, but 1 of 3 events have no time"):
        run(events=log(*(("zoe", "pan", "view", t) for t in (0, 1, np.nan))), baskets=True)


def test_events_out_of_order_are_put_in_order(run: Run, events: pd.DataFrame) -> None:
    shuffled = events.iloc[[0, 8, 2, 6, 3, 5, 4, 7, 1]]  # zoe appears first
    expected = run().sequences
    for field in fields(Sequences):
        result = getattr(run(events=shuffled).sequences, field.name)
        assert np.array_equal(result, getattr(expected, field.name)), field.name


def test_without_a_clock_the_order_of_the_rows_is_kept(run: Run) -> None:
    events = log(*(("u", item, "view", np.nan) for item in ("b", "a", "c", "a")))
    made = run(events=events, attributes=[], exclude_seen=False)
    assert made.sequences.items.tolist() == [2, 1, 3, 1]


@pytest.mark.parametrize(
    ("times", "differ"),
    [
        ([np.nan] * 4, False),
        ([0, HOUR, 2 * HOUR, 3 * HOUR], False),
        ([0, HOUR, 2 * HOUR, 100 * HOUR], True),
    ],
)
def test_the_encoder_knows_whether_gaps_tell_anything(
    run: Run, times: list[float], differ: bool
) -> None:
    rows = [("u", item, "view", t) for item, t in zip("bacd", times, strict=True)]
    assert run(events=log(*rows), attributes=[]).encoder.gaps is differ


def test_pseudonyms_change_no_array(run: Run, events: pd.DataFrame, users: pd.DataFrame) -> None:
    other = {"zoe": "0a", "adam": "zz", "eve": "m"}
    renamed = run(
        events=events.assign(user=events["user"].map(other)),
        users=users.assign(user=users["user"].map(other)).iloc[::-1],
    )
    made = run()
    for field in fields(Sequences):
        before, after = (getattr(m.sequences, field.name) for m in (made, renamed))
        assert before.dtype == after.dtype
        assert np.array_equal(before, after), field.name
    assert renamed.encoder == made.encoder
    pd.testing.assert_frame_equal(
        renamed.user_features.drop(columns="user"), made.user_features.drop(columns="user")
    )


def test_only_the_first_event_on_an_item_can_be_recommended(run: Run) -> None:
    assert of_user(run().sequences, 0, "target") == [True, True, True, False]
    assert of_user(run().sequences, 1, "target") == [True, True, False]
    assert run(exclude_seen=False).sequences.target.all()


def test_only_target_behaviours_are_predicted(run: Run) -> None:
    sequences = run(target_behaviours=["cart", "purchase"]).sequences
    assert of_user(sequences, 0, "target") == [True, False, True, False]
    # bought at last, but seen before: no ranking can contain it
    assert of_user(sequences, 1, "target") == [False, False, False]
    repeats = run(target_behaviours=["cart", "purchase"], exclude_seen=False).sequences
    assert of_user(repeats, 1, "target") == [False, False, True]


def test_a_case_is_never_an_item_of_its_own_history(run: Run) -> None:
    sequences = run().sequences
    held = cases(sequences, TEST, 9)
    for user, position in zip(held.user, held.position, strict=True):
        history = sequences.items[sequences.offsets[user] : position]
        assert sequences.items[position] not in history


def test_attributes_are_encoded_per_user(run: Run) -> None:
    made = run()
    assert list(made.encoder.attributes) == ["age", "gender"]
    assert made.encoder.attributes["age"].edges == (30.0,)  # of those who have events
    assert made.encoder.attributes["gender"].values == ("F", "M")
    assert made.sequences.attributes.tolist() == [[2, 1], [1, 2]]


def test_users_of_no_table_have_unknown_attributes(run: Run, users: pd.DataFrame) -> None:
    made = run(users=users[users["user"] != "zoe"])
    assert made.sequences.attributes.tolist() == [[0, 0], [2, 1]]


def test_no_attributes_are_an_array_without_columns(run: Run, users: pd.DataFrame) -> None:
    made = run(attributes=[], users=users[["user"]])
    assert made.sequences.attributes.shape == (2, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attributes": ["agee"]},
            "features.attributes: the data has no `agee`; did you mean `age`",
        ),
        ({"attributes": ["xyz"]}, "has no `xyz`; known: age, gender"),
        (
            {"target_behaviours": ["purchases"]},
            "features.target_behaviours: the data has no `purchases`; did you mean `purchase`?",
        ),
    ],
)
def test_what_the_data_does_not_have_is_named_with_the_nearest(
    run: Run, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeaturesError, match=re.escape(message)):
        run(**changes)


def test_many_behaviours_keep_their_indices(run: Run) -> None:
    made = run(events=log(*(("u", "i", f"b{n:03}", n * HOUR) for n in range(200))), attributes=[])
    assert made.sequences.behaviours.tolist() == list(range(1, 201))


def test_a_column_that_tells_users_apart_is_no_attribute(run: Run) -> None:
    size = MOST_VALUES + 1
    events = log(*((f"u{n}", "i", "view", n) for n in range(size)))
    people = pd.DataFrame({"user": events["user"], "phone": [f"p{n}" for n in range(size)]})
    message = (
        r"`phone` has 32,768 different values, at most 32,767 are supported; it looks like an id"
    )
    with pytest.raises(FeaturesError, match=message):
        run(events=events, users=people, attributes=["phone"])


def test_a_behaviour_that_is_another_with_each_event_is_an_error(run: Run) -> None:
    events = log(*(("u", "i", f"b{n}", n) for n in range(MOST_VALUES + 1)))
    with pytest.raises(FeaturesError, match=r"`behaviour` has 32,768 different values"):
        run(events=events, attributes=[])


def test_items_are_described_with_their_text_and_count(run: Run) -> None:
    table = run().items.set_index("item")
    assert table["text"].to_dict() == {
        "hose": "garden hose garden", "pan": "red pan kitchen", "rake": ""
    }  # fmt: skip
    assert table["count"].to_dict() == {"hose": 3, "pan": 3, "rake": 1}


def test_numbers_are_imputed_and_normalised_beside_what_came_in(run: Run) -> None:
    table = run().items.set_index("item")
    assert np.isnan(table.loc["rake", "price"])
    assert table.loc["rake", "price_scaled"] == pytest.approx(0)  # the median of 10 and 30
    assert table["price_scaled"].mean() == pytest.approx(0)
    assert table["price_scaled"].std(ddof=0) == pytest.approx(1)
    assert "count_scaled" not in table
    users = run().user_features.set_index("user")
    assert users.loc["zoe", "age"] == 40
    assert users["events"].to_dict() == {"zoe": 4, "adam": 3}
    assert set(users) >= {"age_scaled", "events_scaled", "gender", "tags"}


@pytest.mark.parametrize(
    ("method", "filled"),
    [
        ("mean", [4.0, 1.0, 4.0, 2.0, 9.0, 4.0]),
        ("median", [2.0, 1.0, 2.0, 2.0, 9.0, 2.0]),
        ("interpolate", [1.0, 1.0, 1.5, 2.0, 9.0, 9.0]),
    ],
)
def test_gaps_are_filled_as_asked(method: str, filled: list[float]) -> None:
    column = pd.Series([np.nan, 1.0, np.nan, 2.0, 9.0, np.nan])
    assert impute(column, method).tolist() == filled


def test_a_column_without_a_number_is_left_alone(run: Run, items: pd.DataFrame) -> None:
    made = run(items=items.assign(price=np.nan))
    assert "price_scaled" not in made.items


def test_attributes_stay_as_they_came_whatever_they_are_called(
    run: Run, users: pd.DataFrame
) -> None:
    own = users.assign(tags=["x", "y", "z"], events=[1.0, 2, 3], age_scaled=[0.1, 0.2, 0.3])
    result = run(users=own).users.set_index("user")
    assert list(result) == ["age", "gender", "tags", "events", "age_scaled"]
    assert result.loc["adam", ["tags", "events", "age_scaled"]].tolist() == ["x", 1.0, 0.1]


def test_interest_tags_weigh_behaviours(run: Run) -> None:
    # zoe: pan bought and viewed again (5 + 1), hose in the cart (3); adam: hose 1 + 5, pan 1
    assert run().user_features["tags"].tolist() == [["kitchen", "garden"], ["garden", "kitchen"]]
    assert run(interest_tags=1).user_features["tags"].tolist() == [["kitchen"], ["garden"]]


def test_without_categories_tags_are_words(run: Run, items: pd.DataFrame) -> None:
    made = run(items=items[["item", "title"]], interest_tags=2)
    assert made.user_features["tags"].tolist() == [["pan", "red"], ["garden", "hose"]]


def test_genres_are_separate_tags(run: Run, items: pd.DataFrame) -> None:
    movies = items[["item", "title"]].assign(genres=["Drama|War", "Comedy", "x"])
    assert run(items=movies).user_features["tags"].tolist() == [
        ["Comedy", "Drama", "War"],
        ["Drama", "War", "Comedy"],
    ]


def test_without_any_item_table_there_are_no_texts_and_tags(run: Run) -> None:
    made = run(items=pd.DataFrame({"item": pd.Series([], dtype=str)}))
    assert made.items["text"].tolist() == ["", "", ""]
    assert made.user_features["tags"].tolist() == [[], []]


def test_ratings_become_indices_of_their_values(run: Run) -> None:
    rows = [
        ("u", item, "rating", i, r)
        for i, (item, r) in enumerate(zip("abcd", [1, 5, 3, 5], strict=True))
    ]
    made = run(events=log(*rows), attributes=[])
    assert made.encoder.rating_edges == (3.0, 5.0)
    assert made.sequences.ratings.tolist() == [1, 3, 2, 3]


def test_numeric_attributes_are_cut_into_equally_filled_bins() -> None:
    ages = pd.Series([10.0, 20, 30, 40, np.nan])
    attribute = fit_attribute(ages, 4)
    assert attribute.edges == (17.5, 25.0, 32.5)
    assert [attribute.index(age) for age in ages] == [1, 2, 3, 4, 0]


def test_an_attribute_nobody_has_is_always_unknown() -> None:
    attribute = fit_attribute(pd.Series([None, None], dtype=object), 4)
    assert (attribute.values, attribute.index("F")) == ((), 0)
    numeric = fit_attribute(pd.Series([np.nan, np.nan]), 4)
    assert numeric.edges == ()


def test_one_user_works(run: Run, events: pd.DataFrame) -> None:
    made = run(events=events[events["user"] == "zoe"])
    assert made.sequences.users == 1
    assert made.sequences.split.tolist() == [[2, 3]]


def test_one_item_works_and_leaves_nothing_to_predict(run: Run, events: pd.DataFrame) -> None:
    made = run(events=events[events["item"] == "pan"])
    assert made.encoder.items == ("pan",)
    assert len(cases(made.sequences, TEST, 4)) == 0


def test_a_split_by_time_is_by_time(run: Run) -> None:
    made = run(cut=Split(method="time", validation=0.2, test=0.2))
    assert made.sequences.split.tolist() == [[2, 3], [3, 3]]


def test_a_split_by_time_without_a_clock_is_refused(run: Run, events: pd.DataFrame) -> None:
    with pytest.raises(SplitError, match="split.method is `time`"):
        run(events=events.assign(time=np.nan), cut=Split(method="time"))
