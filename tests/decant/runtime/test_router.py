"""A release's router: its rules in order, and what is popular in each segment."""

from typing import Any

import numpy as np
import pytest

from decant.features.segments import route
from decant.models.bundle import BundleError
from decant.runtime.router import FROM_ALL, read_popular, read_router, read_rules

RULES = {
    "adults": {"where": "age >= 18", "priority": 1},
    "women": {"where": "gender == 'F'", "priority": 2},
    "all_ages": {"where": "age >= 0", "priority": 1},
}


@pytest.mark.parametrize(
    "names", [("adults", "women", "all_ages"), ("all_ages", "women", "adults")]
)
def test_rules_are_asked_by_priority_then_name_whatever_the_order_of_the_file(
    names: tuple[str, ...],
) -> None:
    rules = read_rules({"students": {name: RULES[name] for name in names}})
    assert [rule.segment for rule in rules] == ["women", "adults", "all_ages"]
    assert route(rules, {"gender": "F", "age": 30}) == "women"
    assert route(rules, {"gender": "M", "age": 30}) == "adults"


def test_popularity_in_a_segment_is_smoothed_with_that_of_all() -> None:
    lists = {"general": [["b", 30], ["a", 20]], "women": [["a", 4]]}
    popular = read_popular({"popular": lists}, {"a": 1, "b": 2, "c": 3})
    expected = np.array([0, 4 + FROM_ALL * 0.4, FROM_ALL * 0.6, 0]) / (4 + FROM_ALL)
    np.testing.assert_allclose(popular["women"][0], expected, rtol=1e-6)
    np.testing.assert_allclose(popular["general"][0], [0, 0.4, 0.6, 0], rtol=1e-6)


@pytest.mark.parametrize("lists", [{"women": [["x", 1]]}, {"women": [["a"]]}, [1]])
def test_popular_items_that_are_none_are_an_error(lists: Any) -> None:
    with pytest.raises(BundleError, match="invalid lists of popular items"):
        read_popular({"popular": lists}, {"a": 1})


@pytest.mark.parametrize("content", [b"", b"{}", b'{"students": 3, "folded": []}', b"\xff"])
def test_what_is_no_router_is_an_error(content: bytes) -> None:
    with pytest.raises(BundleError, match="is not a router"):
        read_router(content)
