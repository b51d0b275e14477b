"""A family answers as NumPy computes it, from raw events and raw attributes."""

import itertools
import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from decant.features.segments import RuleError
from decant.models.bundle import BundleError
from decant.runtime.engine import (
    MOST_NAMES,
    SHOWN,
    Event,
    Family,
    History,
    RequestError,
)

N = 12
DAY = 86400.0


def ids(*indices: int) -> list[str]:
    return [f"item-{i:02}" for i in indices]


def bare(*indices: int) -> list[Event]:
    return [Event(item) for item in ids(*indices)]


def test_the_best_items_and_their_scores_are_what_the_graph_computes(tiny: Any) -> None:
    answer = tiny.family.recommend({"age": 30, "gender": "M"}, bare(3, 5), 3)
    batch = {"items": [3, 5], "behaviours": [1, 1], "gaps": [0, 0], "attributes": [2, 2]}
    assert answer.items == tiny.answer(batch)
    expected = tiny.tables["general"].scores({k: np.array([v]) for k, v in batch.items()})[0]
    indices = [int(item[-2:]) for item in answer.items]
    np.testing.assert_allclose(answer.scores, expected[indices], rtol=1e-5)
    assert (answer.release, answer.student, answer.segment) == (
        ("0123456789abcdef", "general", "general")
    )


def test_a_segment_is_answered_by_its_student(tiny: Any) -> None:
    answer = tiny.family.recommend({"gender": "F"}, bare(3), 3)
    batch = {"items": [3], "behaviours": [1], "gaps": [0], "attributes": [1, 0]}
    assert (answer.student, answer.segment) == ("women", "women")
    assert answer.items == tiny.answer(batch, "women")


def test_a_segment_without_a_student_is_answered_by_general(tiny: Any) -> None:
    answer = tiny.family.recommend({}, bare(1, 2, 3), 3)
    assert (answer.student, answer.segment) == ("general", "readers")


@pytest.mark.parametrize(
    "user",
    [{}, {"gender": None}, {"gender": "X"}, {"gender": ""}, {"gender": 7}, {"colour": "red"}],
)
def test_unknown_attributes_are_answered_by_general(tiny: Any, user: dict[str, Any]) -> None:
    answer = tiny.family.recommend(user, bare(3), 3)
    batch = {"items": [3], "behaviours": [1], "gaps": [0], "attributes": [0, 0]}
    assert answer.student == "general"
    assert answer.items == tiny.answer(batch)
    assert answer.unknown_attributes == [name for name in user if name != "gender"]


@pytest.mark.parametrize(
    ("user", "unknown"),
    [
        ({"gender": "female", "age": "old"}, ["gender", "age"]),
        ({"gender": "f", "age": 28}, ["gender"]),
        ({"gender": True}, ["gender"]),
        ({"gender": "F", "age": -5}, ["age"]),  # left out of what is trained on, too
        ({"gender": "F", "age": "999"}, ["age"]),
        ({"gender": "F", "age": 120}, []),
        ({"gender": "F", "age": "28"}, []),
        ({"gender": None, "age": " "}, []),
        ({}, []),
    ],
)
def test_values_that_no_training_has_seen_are_named(
    tiny: Any, user: dict[str, Any], unknown: list[str]
) -> None:
    answer = tiny.family.recommend(user, bare(3), 3)
    assert answer.unknown_values == unknown
    left = {name: value for name, value in user.items() if name not in unknown}
    assert answer.items == tiny.family.recommend(left, bare(3), 3).items


def test_the_history_alone_says_how_long_it_is(tiny: Any) -> None:
    answer = tiny.family.recommend({"history_length": 99}, bare(3), 3)
    assert answer.segment == "general"


def test_a_history_is_as_long_as_it_was_before_it_was_cut(tiny: Any) -> None:
    cut = replace(History.from_events(bare(1, 2)), older=1)
    assert tiny.family.recommend({}, cut, 3).segment == "readers"
    assert tiny.family.recommend({}, bare(1, 2), 3).segment == "general"


def test_a_new_user_gets_an_answer(tiny: Any) -> None:
    answer = tiny.family.recommend({}, [], 3)
    assert answer.items == tiny.answer(
        {"items": [0], "behaviours": [0], "gaps": [0], "attributes": [0, 0]}
    )


def test_events_near_in_time_are_merged_into_the_strongest_behaviour(tiny: Any) -> None:
    history = [
        Event("item-03", "view", 0.0),
        Event("item-03", "purchase", 30.0),
        Event("item-05", "cart", 5 * DAY),
    ]
    answer = tiny.family.recommend({}, history, 3)
    batch = {"items": [3, 5], "behaviours": [3, 2], "gaps": [0, 6], "attributes": [0, 0]}
    assert answer.items == tiny.answer(batch)
    assert answer.segment == "general"  # two merged events are fewer than three


def test_events_with_times_may_come_in_any_order(tiny: Any) -> None:
    history = [
        Event("item-03", "view", 0.0),
        Event("item-05", "cart", 2 * DAY),
        Event("item-03", "purchase", 4 * DAY, rating=5.0),
        Event("item-07", "view", 9 * DAY),
    ]
    answers = {
        tuple(tiny.family.recommend({}, list(order), 5).scores)
        for order in itertools.permutations(history)
    }
    assert len(answers) == 1


def test_events_without_a_time_follow_those_with_one(tiny: Any) -> None:
    timed, untimed = Event("item-03", time=DAY), Event("item-05")
    answers = [tiny.family.recommend({}, h, 5) for h in ([timed, untimed], [untimed, timed])]
    assert answers[0].scores == answers[1].scores


def test_only_the_newest_events_are_read_but_all_are_seen(tiny: Any) -> None:
    answer = tiny.family.recommend({}, bare(1, 2, 3, 4, 5, 6), N)
    assert set(answer.items) == set(ids(7, 8, 9, 10, 11, 12))
    batch = {"items": [3, 4, 5, 6], "behaviours": [1] * 4, "gaps": [0] * 4, "attributes": [0, 0]}
    expected = [item for item in tiny.answer(batch, k=8) if item not in ids(1, 2)]
    assert answer.items == expected


def test_seen_items_come_back_where_repeats_are_normal(tiny: Any) -> None:
    family = tiny.with_encoder(exclude_seen=False)
    assert set(family.recommend({}, bare(1, 2), N).items) == set(ids(*range(1, N + 1)))


def test_items_of_the_open_basket_are_not_recommended_again(tiny: Any) -> None:
    family = tiny.with_encoder(exclude_seen=False, baskets=True)
    now = 1_772_000_000.0
    history = [Event(item, time=now - 60 * (n < 2)) for n, item in enumerate(ids(1, 2, 3, 4))]
    left = set(ids(*range(1, N + 1))) - set(ids(3, 4))
    assert set(family.recommend({}, history, N, now).items) == left
    assert len(family.recommend({}, history, N, now + 1).items) == N
    assert len(family.recommend({}, history, N).items) == N  # the clock's time is another


def test_the_order_inside_a_basket_changes_no_answer(tiny: Any) -> None:
    family = tiny.with_encoder(exclude_seen=False, baskets=True)
    history = [Event(item, time=1_772_000_000.0) for item in ids(1, 2, 3, 4, 5)]
    answer, turned = (family.recommend({}, h, N) for h in (history, history[::-1]))
    assert (answer.items, answer.scores) == (turned.items, turned.scores)


def test_an_event_after_now_is_refused_by_its_place(tiny: Any) -> None:
    history = [Event("item-01", time=1_772_000_060.0), Event("item-02", time=1_772_000_000.0)]
    with pytest.raises(RequestError, match=r"now is 1772000000, but history\[0\]\.time is 17"):
        tiny.family.recommend({}, history, 3, 1_772_000_000.0)


def test_an_event_later_than_the_clock_is_the_newest_moment(tiny: Any) -> None:
    family = tiny.with_encoder(exclude_seen=False, baskets=True)
    later = [Event("item-01", time=4_000_000_000.0)]
    assert "item-01" not in family.recommend({}, later, N).items


@pytest.mark.parametrize("k", [0, -1, N + 1])
def test_k_outside_the_catalogue_is_refused(tiny: Any, k: int) -> None:
    with pytest.raises(RequestError, match=f"k is {k}; it must be from 1 to {N}"):
        tiny.family.recommend({}, [], k)


def test_unknown_items_are_left_out_and_named_once(tiny: Any) -> None:
    history = [Event("gone"), *bare(3), Event("gone")]
    answer = tiny.family.recommend({}, history, 3)
    assert answer.unknown_items == ["gone"]
    assert answer.items == tiny.family.recommend({}, bare(3), 3).items


def test_a_history_of_which_nothing_is_known_is_as_good_as_none(tiny: Any) -> None:
    history = [Event("item-001"), Event("x" * 500, "cart", 5 * DAY), Event("item-001")]
    answer = tiny.family.recommend({"gender": "F"}, history, 3)
    assert answer.items == tiny.family.recommend({"gender": "F"}, [], 3).items
    assert (answer.student, answer.segment) == ("women", "women")
    assert answer.unknown_items == ["item-001", "x" * SHOWN]
    assert answer.unknown_events == 3


def with_popular(tiny: Any, popular: Any) -> Family:
    router = json.loads((tiny.folder / "router.json").read_text())
    (tiny.folder / "router.json").write_text(json.dumps({**router, "popular": popular}))
    return Family(tiny.folder, "0123456789abcdef")


def test_who_has_no_known_history_gets_what_is_popular_in_the_segment(tiny: Any) -> None:
    popular = {
        "general": [["item-05", 300], ["item-03", 200], ["item-01", 100]],
        "women": [["item-07", 900], ["item-01", 100]],
    }
    family = with_popular(tiny, popular)
    answer = family.recommend({"gender": "M"}, [], 3)
    assert answer.items == ids(5, 3, 1)
    assert (answer.student, answer.segment) == ("popular", "general")
    answer = family.recommend({"gender": "F"}, [Event("gone")], 4)
    assert answer.items[:1] == ids(7)
    assert set(answer.items) == set(ids(1, 3, 5, 7))  # what the segment lacks is that of all
    assert answer.segment == "women"
    assert len(family.recommend({}, [], N).items) == N
    known = family.recommend({"gender": "F"}, bare(3), 3)
    assert known.student == "women"


def test_a_segment_without_a_list_is_answered_by_its_student(tiny: Any) -> None:
    family = with_popular(tiny, {"women": [["item-07", 9]]})
    assert family.recommend({}, [], 3).student == "general"
    assert family.recommend({"gender": "F"}, [], 3).items[0] == "item-07"


@pytest.mark.parametrize(
    "popular", [[], {"general": 3}, {"general": [["gone", 1]]}, {"general": [["item-01"]]}]
)
def test_lists_of_popular_items_that_are_none_are_not_loaded(tiny: Any, popular: Any) -> None:
    with pytest.raises(BundleError, match="invalid lists of popular items"):
        with_popular(tiny, popular)


def test_an_answer_lists_a_bounded_number_of_unknown_names(tiny: Any) -> None:
    history = [Event(f"gone-{n}") for n in range(5 * MOST_NAMES)]
    user = {f"attribute-{n}": 1 for n in range(5 * MOST_NAMES)}
    answer = tiny.family.recommend(user, history, 3)
    assert len(answer.unknown_items) == len(answer.unknown_attributes) == MOST_NAMES
    assert answer.unknown_events == 5 * MOST_NAMES


def test_an_item_is_known_in_every_form_of_its_id(tiny: Any) -> None:
    items = ("caf\u00e9", "12", *ids(*range(3, N + 1)))
    for student in ("general", "women"):
        tiny.rewrite(student, items=items)
    family = tiny.with_encoder(items=items)
    answer = family.recommend({}, [Event("cafe\u0301\u200b"), Event("12.0"), Event(" item-03")], N)
    assert answer.unknown_items == []
    assert set(answer.items) == set(ids(*range(4, N + 1)))


def test_a_name_is_known_in_every_form_of_it(tiny: Any) -> None:
    answer = tiny.family.recommend({" gender\u200b": "F"}, [Event("item-03", "view ")], 3)
    assert (answer.segment, answer.unknown_attributes) == ("women", [])


def test_a_spelling_of_a_missing_value_is_missing_in_a_request_too(tiny: Any) -> None:
    family = tiny.with_encoder(missing=("NULL",))
    answer = family.recommend({"gender": "NULL", "age": "NULL"}, bare(3), 3)
    assert answer.unknown_values == []
    assert answer.items == family.recommend({}, bare(3), 3).items


def test_an_unknown_behaviour_is_refused_even_of_an_unknown_item(tiny: Any) -> None:
    for item in ("item-01", "gone"):
        with pytest.raises(RequestError, match="did you mean `purchase`"):
            tiny.family.recommend({}, [Event(item, "purchased")], 3)


def test_warming_up_runs_every_student(tiny: Any) -> None:
    tiny.family.warm_up()


def test_a_changed_model_is_not_loaded(tiny: Any) -> None:
    graph = tiny.folder / "students" / "women" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match="changed"):
        Family(tiny.folder, "r")


def test_a_file_that_is_no_model_is_not_loaded(tiny: Any) -> None:
    tiny.rewrite("women", graph=b"no graph")
    with pytest.raises(BundleError, match="not a valid model"):
        Family(tiny.folder, "r")


def test_a_model_of_another_catalogue_is_not_loaded(tiny: Any) -> None:
    tiny.rewrite("women", items=("other",))
    with pytest.raises(BundleError, match="its catalogue is not"):
        Family(tiny.folder, "r")


def test_a_model_that_scores_too_few_items_does_not_warm_up(tiny: Any) -> None:
    shorter = tuple(ids(*range(1, N)))
    for student in ("general", "women"):
        tiny.rewrite(student, items=shorter)
    with pytest.raises(BundleError, match=f"scores {N} items; the release has {N - 1}"):
        tiny.with_encoder(items=shorter).warm_up()


def test_a_student_that_the_router_names_has_to_be_there(tiny: Any) -> None:
    router = json.loads((tiny.folder / "router.json").read_text())
    (tiny.folder / "router.json").write_text(json.dumps({**router, "folded": []}))
    with pytest.raises(BundleError, match="the student `readers` is missing"):
        Family(tiny.folder, "r")


def test_a_student_that_the_router_does_not_name_is_not_loaded(tiny: Any) -> None:
    for name in ("readers", "nobody"):
        shutil.copytree(tiny.folder / "students" / "women", tiny.folder / "students" / name)
    assert Family(tiny.folder, "r").students == ["general", "women"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', '{"files": []}', "[" * 9999])
def test_a_bundle_whose_manifest_is_none_is_not_loaded(tiny: Any, content: str) -> None:
    (tiny.folder / "students" / "women" / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"students/women/manifest\.json has no model\.onnx"):
        Family(tiny.folder, "r")


@pytest.mark.parametrize("name", ["items", "behaviours", "gaps", "attributes"])
def test_a_model_that_fails_at_the_highest_index_does_not_warm_up(tiny: Any, name: str) -> None:
    model = onnx.load_from_string(tiny.graph())
    [weight] = [w for w in model.graph.initializer if w.name == f"{name}_rows"]
    rows = numpy_helper.to_array(weight)[:-1]
    weight.CopyFrom(numpy_helper.from_array(rows, weight.name))
    tiny.rewrite("general", graph=model.SerializeToString())
    with pytest.raises(BundleError, match="student general cannot answer: .*indices"):
        Family(tiny.folder, "r").warm_up()


def test_a_model_that_fails_at_one_length_does_not_warm_up(tiny: Any) -> None:
    model = onnx.load_from_string(tiny.graph())
    model.graph.initializer.append(numpy_helper.from_array(np.float32([[1, 2]]), "two"))
    model.graph.node[-1].output[0] = "light"
    model.graph.node.extend(
        [
            helper.make_node("Add", ["items_ones", "two"], ["of_two"]),
            helper.make_node("Gather", ["of_two", "end"], ["one"], axis=1),
            helper.make_node("Sub", ["one", "one"], ["nothing"]),
            helper.make_node("Unsqueeze", ["nothing", "axis"], ["each"]),
            helper.make_node("Add", ["light", "each"], ["scores"]),
        ]
    )
    tiny.rewrite("general", graph=model.SerializeToString())
    for encoder in ({"max_length": 1}, {"max_length": 2}):
        tiny.with_encoder(**encoder).warm_up()
    with pytest.raises(BundleError, match="student general cannot answer"):
        tiny.with_encoder(max_length=2).try_length(3)


def test_a_family_without_general_is_not_loaded(tiny: Any) -> None:
    (tiny.folder / "students" / "general").rename(tiny.folder / "students" / "other")
    with pytest.raises(BundleError, match="`general` is missing"):
        Family(tiny.folder, "r")


@pytest.mark.parametrize(
    "router", [{}, [], {"students": {}}, {"students": {"a": {"where": "age > 1"}}, "folded": []}]
)
def test_a_router_that_is_none_is_not_loaded(tiny: Any, router: Any) -> None:
    (tiny.folder / "router.json").write_text(json.dumps(router))
    with pytest.raises(BundleError, match="is not a router"):
        Family(tiny.folder, "r")


def test_a_rule_that_cannot_be_read_is_not_loaded(tiny: Any) -> None:
    router = {"students": {"a": {"where": "age >", "priority": 1}}, "folded": []}
    (tiny.folder / "router.json").write_text(json.dumps(router))
    with pytest.raises(RuleError):
        Family(tiny.folder, "r")


def with_taste(tiny: Any, rows: Any) -> Family:
    """The family with groups of taste, of which group 2 goes to the student `women`."""
    router = json.loads((tiny.folder / "router.json").read_text("utf-8"))
    router["students"]["women"]["where"] = "taste == 2"
    router["taste"] = rows
    (tiny.folder / "router.json").write_text(json.dumps(router), "utf-8")
    return Family(tiny.folder, "0123456789abcdef")


def test_a_history_is_routed_by_its_group_of_taste(tiny: Any) -> None:
    rows = [[0.0, 0.0]] + [[1.0, 0.0]] * 6 + [[0.0, 2.0]] * 6
    family = with_taste(tiny, rows)
    assert family.recommend({}, bare(1), 3).student == "general"
    assert family.recommend({}, bare(1, 9), 3).student == "women"
    assert family.recommend({}, [], 3).student == "general"
    answer = family.recommend({"taste": "2"}, bare(1), 3)
    assert answer.student == "general" and answer.unknown_attributes == ["taste"]


@pytest.mark.parametrize("rows", [[[0.0, 1.0]] * 3, [["a"]] * (N + 1), None])
def test_groups_of_taste_for_other_items_are_refused(tiny: Any, rows: Any) -> None:
    with pytest.raises(BundleError, match="is not a router"):
        with_taste(tiny, rows)
