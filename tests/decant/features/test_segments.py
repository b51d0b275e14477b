"""Rules are read strictly and evaluated in three-valued logic."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decant.features.segments import (
    GENERAL,
    RuleError,
    by_priority,
    parse_rule,
    parse_rules,
    route,
)


def matches(text: str, **facts: Any) -> bool:
    return parse_rule("s", text).matches(facts)


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("gender == 'F'", {"gender": "F"}, True),
        ("gender == 'F'", {"gender": " F "}, True),
        ("gender != 'F'", {"gender": "M"}, True),
        ("age < 35", {"age": 34.9}, True),
        ("age < 35", {"age": 35}, False),
        ("age <= 35 and age >= 35", {"age": 35}, True),
        ("18 <= age < 35", {"age": 20}, True),
        ("18 <= age < 35", {"age": 35}, False),
        ("country in ['France', 'Spain']", {"country": "Spain"}, True),
        ("country not in ('France', 'Spain')", {"country": "Italy"}, True),
        ("country in {'France'}", {"country": "Italy"}, False),
        ("age in [25, 35]", {"age": "25"}, True),
        ("age in []", {"age": 25}, False),
        ("temperature > -3", {"temperature": -2}, True),
        ("history_length >= 20", {"history_length": 20}, True),
        ("age > birthday", {"age": 3, "birthday": 2}, True),
    ],
)
def test_a_rule_is_true_of_whom_it_describes(
    text: str, facts: dict[str, Any], expected: bool
) -> None:
    assert matches(text, **facts) is expected


@pytest.mark.parametrize("age", [28, 28.0, "28", "28.0", " 28"])
def test_a_number_may_come_as_text(age: Any) -> None:
    assert matches("age < 35", age=age)
    assert matches("age == 28", age=age)
    assert not matches("age > 35", age=age)


def test_a_text_with_digits_is_a_text_whoever_sends_it() -> None:
    for seven in (7, 7.0, "7", "7.0"):
        assert matches("code == '7'", code=seven)
        assert not matches("code == '007'", code=seven)
        assert matches("code == 7", code=seven)
    assert matches("code == '007'", code="007")
    assert matches("code == 7", code="007")  # beside a number, it is one


def test_an_order_is_of_numbers_where_one_is_a_number() -> None:
    for nine in (9, "9", 9.0):
        assert matches("size < '35'", size=nine)
        assert matches("size < 35", size=nine)
    assert not matches("size >= '4'", size="5+")
    assert matches("grade < 'C'", grade="B")


@pytest.mark.parametrize("value", [True, "true", "True", "TRUE", " true "])
@pytest.mark.parametrize(
    "rule", ["member == True", "member == true", "member == 'true'", "member in ['TRUE']"]
)
def test_a_truth_value_is_one_however_it_is_written(rule: str, value: Any) -> None:
    assert matches(rule, member=value)
    assert not matches(rule, member=False)
    assert not matches("member == 1", member=value)


def test_text_is_compared_in_one_unicode_form() -> None:
    assert matches("city == 'Ko\u0308ln'", city="K\u00f6ln")
    assert matches("city == 'K\u00f6ln'", city="Ko\u0308ln\u200b")
    assert matches("gr\u00f6\u00dfe > 1", **{"gr\u00f6\u00dfe": 2})


MISSING = [None, "", "  ", math.nan, [1], {}]


@pytest.mark.parametrize("value", MISSING)
@pytest.mark.parametrize(
    "text",
    ["age < 35", "age >= 35", "age != 35", "not age < 35", "age in [1]", "age not in [1]",
     "not (age < 35 or age >= 35)", "age == age", "18 <= age"],
)  # fmt: skip
def test_an_unknown_attribute_matches_nothing(text: str, value: Any) -> None:
    assert not matches(text, age=value)
    assert not matches(text)


def test_what_cannot_be_compared_is_unknown() -> None:
    assert not matches("age < 35", age="young")
    assert not matches("not age < 35", age="young")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1 or b == 1", True),
        ("b == 1 or a == 1", True),
        ("a == 2 or b == 1", False),
        ("a == 1 and b == 1", False),
        ("not (a == 2 and b == 1)", True),
        ("not (a == 1 and b == 1)", False),
        ("not (a == 1 or b == 1)", False),
    ],
)
def test_a_known_part_decides_where_it_can(text: str, expected: bool) -> None:
    assert matches(text, a=1) is expected  # b is unknown


VALUES = {True: 1, False: 0, None: None}
KNOWN = st.sampled_from([True, False, None])


@given(KNOWN, KNOWN)
def test_and_or_not_follow_kleene(a: bool | None, b: bool | None) -> None:
    facts = {"a": VALUES[a], "b": VALUES[b]}
    order = {False: 0, None: 1, True: 2}
    low, high = sorted((a, b), key=order.__getitem__)
    assert matches("a == 1 and b == 1", **facts) is (low is True)
    assert matches("a == 1 or b == 1", **facts) is (high is True)
    assert matches("not (a == 1 and b == 1)", **facts) is (low is False)
    assert matches("not (a == 1 or b == 1)", **facts) is (high is False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cannot parse"),
        ("age <", "cannot parse `age <` to its end"),
        ("age = 35", "cannot parse `age = 35` at column 5"),
        ("age\x00 < 3", "cannot parse"),
        ("(" * 500 + "age" + ")" * 500, "cannot parse"),
        ("age", "`age` in `age` is not a comparison"),
        ("True", "not a comparison"),
        ("age + 1 < 35", "age \\+ 1 < 35` is neither"),
        ("len(name) > 3", "neither an attribute nor"),
        ("__import__('os').system('x') == 0", "neither an attribute nor"),
        ("user.age < 35", "neither an attribute nor"),
        ("age is None", "unknown comparison"),
        ("age == None", "neither an attribute nor"),
        ("name == ''", "neither an attribute nor"),
        ("age < 1e999", "neither an attribute nor"),
        ("gender in 'FM'", "needs a list"),
        ("gender in ['F', other]", "neither an attribute nor"),
        ("1 < 2", "uses no attribute"),
        ("-age < 2", "neither an attribute nor"),
        ("lambda: age", "not a comparison"),
    ],
)
def test_anything_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RuleError, match=problem) as caught:
        parse_rule("young", text)
    assert str(caught.value).startswith("students.young.where: ")
    assert caught.value.segment == "young"


def test_a_misspelt_attribute_is_named_with_the_nearest() -> None:
    with pytest.raises(RuleError, match="unknown attribute `gendr`.*did you mean `gender`"):
        parse_rules({"women": ("gendr == 'F'", 0)}, ["age", "gender"])
    with pytest.raises(RuleError, match="known: age, history_length"):
        parse_rules({"women": ("x == 'F'", 0)}, ["age"])


def test_the_highest_priority_is_asked_first_then_the_name() -> None:
    rules = parse_rules(
        {"b": ("age > 1", 5), "a": ("age > 1", 5), "late": ("age > 1", 1), "top": ("age > 9", 9)},
        ["age"],
    )
    assert [rule.segment for rule in rules] == ["top", "a", "b", "late"]
    assert route(rules, {"age": 5}) == "a"
    assert route(rules, {"age": 10}) == "top"
    assert route(rules, {}) == GENERAL
    assert by_priority(rules[::-1]) == rules


def test_a_rule_names_what_it_reads() -> None:
    assert parse_rule("s", "a < b or not c in [1]").attributes == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("not " * 60 + "(a == 1)", "is nested deeper than 50 times"),
        ("not " * 960 + "(a == 1)", "is nested deeper than 50 times"),
        (f"a in [{', '.join(map(str, range(5000)))}]", "characters, at most 20,000 are allowed"),
    ],
)
def test_a_rule_that_would_make_each_request_dear_is_refused(rule: str, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        parse_rule("a", rule)


def test_a_list_of_a_thousand_values_is_none() -> None:
    codes = ", ".join(f"'{code:05}'" for code in range(1000))
    assert parse_rule("a", f"zip in [{codes}] and not (age < 3 or (age > 5 and b == 1))")
