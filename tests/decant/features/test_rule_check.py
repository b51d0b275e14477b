"""Rules that can serve nobody are an error, and those that only a name decides are told."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decant.features.rule_check import MOST, check
from decant.features.segments import RuleError, parse_rules, route

KNOWN = ["age", "size", "gender", "premium", "birthday"]


def warnings_of(**rules: tuple[str, int]) -> list[str]:
    return check(parse_rules(rules, KNOWN))


@pytest.mark.parametrize(
    "text",
    [
        "age < 3 and age > 5",
        "age < 3 and age >= 3",
        "gender == 'F' and gender == 'M'",
        "gender == 'F' and not gender == 'F'",
        "gender not in ['F'] and gender == 'F'",
        "age in []",
        "premium == true and premium == 'False'",
        "history_length > 4 and history_length < 5",
        "history_length < 0",
        "age > 3 and age == 'old'",
    ],
)
def test_a_rule_that_can_never_match_is_an_error(text: str) -> None:
    with pytest.raises(RuleError, match=r"students\.a\.where: .* can never match"):
        warnings_of(a=(text, 0), b=("size == 1", 9))


@pytest.mark.parametrize(
    "text",
    [
        "age > 34 and age < 35",
        "age == 34.5",
        "not (gender == 'F' or gender == 'M')",
        "gender != 'F' and gender < 'G'",
        "history_length >= 4 and history_length < 5",
        "age == age",  # compared with each other: not looked at
        "age < birthday and birthday < age",
    ],
)
def test_a_rule_that_may_match_is_let_through(text: str) -> None:
    assert warnings_of(a=(text, 0)) == []


def test_a_rule_whose_users_all_go_to_others_is_an_error_that_names_them() -> None:
    with pytest.raises(
        RuleError, match="`age > 40` can never serve a user: all that it .* go to a,"
    ):
        warnings_of(a=("age > 30", 2), b=("age > 40", 1))
    with pytest.raises(RuleError, match=r"students\.c\.where: .* go to a or b, evaluated before"):
        warnings_of(a=("age > 30", 2), b=("age <= 30", 2), c=("age < 90 and gender == 'F'", 1))
    with pytest.raises(RuleError, match=r"students\.b\.where"):
        warnings_of(b=("age > 30", 5), a=("age > 30", 5))  # the same priority: the name decides


def test_a_rule_that_keeps_users_of_unknown_attributes_is_not_shadowed() -> None:
    rules = {"a": ("age > 30", 2), "b": ("age <= 30", 2), "c": ("gender == 'F'", 1)}
    assert warnings_of(**rules) == []  # women of unknown age


def test_two_rules_of_one_priority_that_both_match_somebody_are_told() -> None:
    (line,) = warnings_of(
        zwei=("size in ['1', '2']", 10), alt=("age in ['35-44', '45-54']", 10), c=("age == '5'", 5)
    )
    assert line == (
        "students.alt and students.zwei have priority 10 and can match the same user (age 35-44, "
        "size 1): alt is evaluated first, by its name; set different priorities to decide"
    )


def test_of_many_such_pairs_a_few_are_told_and_the_others_counted() -> None:
    lines = warnings_of(**{f"g{place}": (f"age < {place}", 1) for place in range(1, 7)})
    assert len(lines) == 6
    assert lines[-1].startswith("10 more pairs")


def test_a_partition_has_nothing_to_tell() -> None:
    rules = {
        f"{name}_{gender}": (f"gender == '{gender}' and {part}", 10)
        for gender in "FM"
        for name, part in (("young", "age < 35"), ("old", "age >= 35"))
    }
    assert warnings_of(**rules) == []


def test_more_combinations_than_can_be_looked_at_are_left_alone() -> None:
    many = [f"size == {n}" for n in range(200)]
    text = " or ".join(many) + " or age in [" + ", ".join(map(str, range(200))) + "]"
    assert MOST < (2 * 200 + 2) ** 2
    assert warnings_of(a=(text, 1), b=(text, 1)) == []


NUMBERS = st.integers(0, 3)
COMPARISONS = st.one_of(
    st.builds("age {} {}".format, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS),
    st.builds("gender {} '{}'".format, st.sampled_from(["==", "!="]), st.sampled_from("FM")),
)
TEXTS = st.builds(
    " ".join,
    st.lists(COMPARISONS, min_size=1, max_size=3).flatmap(
        lambda parts: st.lists(
            st.sampled_from(["and", "or"]), min_size=len(parts) - 1, max_size=len(parts) - 1
        ).map(
            lambda joints: [w for pair in zip(parts, [*joints, ""], strict=True) for w in pair if w]
        )
    ),
)
USERS = [
    {"age": age, "gender": gender}
    for age, gender in itertools.product([None, *(n / 2 for n in range(-1, 9))], [None, *"FMX"])
]


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_what_is_called_impossible_is_so_on_a_grid_of_users_and_the_reverse(
    texts: list[str],
) -> None:
    rules = parse_rules({f"r{n}": (text, -n) for n, text in enumerate(texts)}, KNOWN)
    served = {route(rules, user) for user in USERS}
    try:
        check(rules)
        impossible: set[str] = set()
    except RuleError as error:
        impossible = {error.segment}
    assert impossible.isdisjoint(served)
    assert bool(impossible) == any(rule.segment not in served for rule in rules)
