import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.data.membership import (
    Membership,
    SegmentError,
    assign,
    check_rules,
    popular_items,
)
from decant.features.segments import RuleError
from decant.params.models import Student

USERS = pd.DataFrame(
    {
        "user": list("abcdefgh"),
        "age": [20, 30, 40, 50, 60, np.nan, 20, 20],
        "gender": ["F", "F", "F", "M", "M", "M", None, "X"],
    }
)
HISTORY = np.array([5, 1, 2, 3, 4, 9, 9, 0])


def students(**rules: Any) -> dict[str, Student]:
    """name="rule" or name=("rule", priority)."""
    made = {}
    for name, rule in rules.items():
        where, priority = rule if isinstance(rule, tuple) else (rule, 0)
        made[name] = Student(init="general", where=where, priority=priority)
    return made


def groups(membership: Membership) -> dict[str, list[int]]:
    return {name: result.tolist() for name, result in membership.members.items()}


def test_users_go_where_their_rule_says_and_the_others_to_general() -> None:
    result = assign(USERS, HISTORY, students(women="gender == 'F'", men="gender == 'M'"), 1)
    assert groups(result) == {"women": [0, 1, 2], "men": [3, 4, 5], "general": [6, 7]}
    assert result.folded == []


def test_the_highest_priority_wins() -> None:
    rules = students(women=("gender == 'F'", 1), young=("age < 35", 2))
    assert groups(assign(USERS, HISTORY, rules, 1)) == {
        "young": [0, 1, 6, 7],
        "women": [2],
        "general": [3, 4, 5],
    }
    rules = students(women=("gender == 'F'", 2), young=("age < 35", 1))
    assert groups(assign(USERS, HISTORY, rules, 1))["women"] == [0, 1, 2]


def test_users_of_unknown_attributes_are_generals() -> None:
    result = assign(USERS, HISTORY, students(old="age >= 30", not_men="not gender == 'M'"), 1)
    assert 5 not in result.members["old"]  # no age
    assert 6 in result.members["general"]  # no gender, too young


def test_the_length_of_the_history_is_an_attribute() -> None:
    result = assign(USERS, HISTORY, students(heavy="history_length >= 5"), 1)
    assert groups(result) == {"heavy": [0, 5, 6], "general": [1, 2, 3, 4, 7]}


def test_a_users_column_of_that_name_is_not_mistaken_for_it() -> None:
    own = USERS.assign(history_length=1)
    with pytest.raises(RuleError, match=r"students\.heavy.*rename the users' column"):
        assign(own, HISTORY, students(heavy="history_length >= 5"), 1)
    assign(own, HISTORY, students(women="gender == 'F'"), 1)


def test_a_segment_with_too_few_users_is_folded() -> None:
    result = assign(USERS, HISTORY, students(women="gender == 'F'", x="gender == 'X'"), 3)
    assert result.folded == ["x"]
    assert groups(result) == {"women": [0, 1, 2], "x": [7], "general": [3, 4, 5, 6, 7]}


def test_every_user_is_served_by_exactly_one_student() -> None:
    rules = students(women=("gender == 'F'", 1), young="age < 35", x=("gender == 'X'", 9))
    result = assign(USERS, HISTORY, rules, 2)
    served = [m for name, m in result.members.items() if name not in result.folded]
    assert sorted(np.concatenate(served).tolist()) == list(range(len(USERS)))


def test_the_router_keeps_every_rule_and_says_what_is_folded() -> None:
    result = assign(USERS, HISTORY, students(women=("gender == 'F'", 4), x="gender == 'X'"), 3)
    assert result.router == {
        "students": {
            "women": {"where": "gender == 'F'", "priority": 4},
            "x": {"where": "gender == 'X'", "priority": 0},
        },
        "folded": ["x"],
    }


def test_without_segments_everybody_is_generals() -> None:
    assert groups(assign(USERS, HISTORY, {}, 1)) == {"general": list(range(8))}


def test_an_unknown_attribute_names_the_nearest() -> None:
    message = "unknown attribute `gendr` in `gendr == 'F'`; did you mean `gender`?"
    with pytest.raises(RuleError, match=re.escape(message)):
        assign(USERS, HISTORY, students(women="gendr == 'F'"), 1)


def test_the_users_id_is_no_attribute() -> None:
    with pytest.raises(RuleError, match="unknown attribute `user`"):
        assign(USERS, HISTORY, students(me="user == 'a'"), 1)


def test_a_rule_that_does_not_parse_is_an_error() -> None:
    with pytest.raises(RuleError, match=r"students\.women\.where: cannot parse"):
        assign(USERS, HISTORY, students(women="gender = 'F'"), 1)


def test_a_rule_that_matches_nobody_is_an_error() -> None:
    message = "students.kids: `age < 10` matches none of 8 users"
    with pytest.raises(SegmentError, match=re.escape(message)):
        assign(USERS, HISTORY, students(kids="age < 10"), 1)


def test_a_rule_whose_users_all_go_elsewhere_is_an_error() -> None:
    rules = students(women=("gender == 'F'", 2), old_women=("gender == 'F' and age > 35", 1))
    message = "`gender == 'F' and age > 35` matches none of the 5 of 8 users left by rules"
    with pytest.raises(SegmentError, match=re.escape(message)):
        assign(USERS, HISTORY, rules, 1)


def test_a_value_that_no_user_has_is_told_with_the_nearest() -> None:
    users = pd.DataFrame(
        {"user": list("abc"), "city": ["Lyon", "Lyon", "Paris"], "age": [1.0, 2, 3]}
    )
    rules = students(lyon="city in ['Lyn', 'Paris']", two="age == 2 or age == 9")
    assert check_rules(rules, (), users)[-2:] == [
        "students.lyon: `city in ['Lyn', 'Paris']`: no user has the city `Lyn`; did you mean "
        "`Lyon`? known: Lyon, Paris",
        "students.two: `age == 2 or age == 9`: no user has the age `9`; known: 1, 2, 3",
    ]


def test_values_that_are_no_numbers_where_a_rule_compares_with_one_are_counted() -> None:
    users = pd.DataFrame({"user": list("abcd"), "size": ["1", "4", "5+", None]})
    (line,) = check_rules(students(big="size >= 4"), (), users)
    assert line == (
        "students.big: `size >= 4`: 1 of 3 users have a size that is not a number (`5+` 1): a "
        "comparison with a number never holds for them"
    )


def test_rules_are_checked_without_users_too() -> None:
    assert check_rules(students(a="age < 3", b="gender == 'F'"), ()) != []
    assert check_rules(students(lyon="city == 'Lyn'"), ()) == []
    with pytest.raises(RuleError, match="can never match"):
        check_rules(students(a="age < 3 and age > 5"), ())


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("city == 'lyon'", "no user has the city `lyon`; did you mean `Lyon`? known: Lyon"),
        ("city == 'NULL'", "`NULL` means a missing city, see ingest.missing"),
        ("age > 90", ""),
    ],
)
def test_a_rule_that_matches_none_of_the_users_is_an_error_before_anything_runs(
    rule: str, why: str
) -> None:
    users = pd.DataFrame({"user": list("abc"), "city": ["Lyon", "Lyon", None], "age": [1.0, 2, 3]})
    message = f"students.a: `{rule}` matches none of 3 users{f' ({why})' if why else ''}; correct"
    with pytest.raises(SegmentError, match=re.escape(message)):
        check_rules(students(a=rule), ["NULL"], users)


def test_what_a_rule_asks_of_histories_only_they_can_tell() -> None:
    users = pd.DataFrame({"user": list("abc"), "city": ["Lyon", "Lyon", None]})
    assert check_rules(students(a="city == 'Lyon' and history_length > 5"), (), users) == []


@pytest.mark.parametrize(
    "table", [["true", "false", None], [True, False, None], ["TRUE", "False", ""]], ids=range(3)
)
def test_a_truth_value_selects_the_same_users_however_the_table_writes_it(table: list[Any]) -> None:
    users = pd.DataFrame({"user": list("abc"), "premium": pd.Series(table, dtype=object)})
    for rule in ("premium == True", "premium == true", "premium == 'true'"):
        result = assign(users, np.array([1, 1, 1]), students(p=rule), 1)
        assert groups(result) == {"p": [0], "general": [1, 2]}


def test_the_popular_items_of_a_group_are_those_of_its_training_events(make_sequences: Any) -> None:
    sequences = make_sequences([[1, 2, 2, 3, 3], [3, 1, 1, 2, 2], [3, 3, 3, 1, 1]])
    members = {"a": np.array([0, 1]), "b": np.array([2]), "c": np.array([], dtype=int)}
    assert popular_items(sequences, ("x", "y", "z"), members) == {
        "a": [["x", 3], ["y", 2], ["z", 1]],  # the last two events of each are held out
        "b": [["z", 3]],
        "c": [],
    }


def test_users_are_assigned_by_their_group_of_taste() -> None:
    taste = ["1", "1", "2", None, "2", "1", None, "1"]
    rules = students(first="taste == 1", young_second="taste == 2 and age < 45")
    result = assign(USERS, HISTORY, rules, 1, taste)
    assert groups(result) == {
        "first": [0, 1, 5, 7],
        "young_second": [2],
        "general": [3, 4, 6],
    }


def test_a_rule_on_taste_without_groups_names_the_setting() -> None:
    message = "unknown attribute `taste` in `taste == 1`; set distill.taste_groups to the number"
    with pytest.raises(RuleError, match=re.escape(message)):
        assign(USERS, HISTORY, students(first="taste == 1"), 1)
    with pytest.raises(RuleError, match="unknown attribute `taste`"):
        check_rules(students(first="taste == 1"), (), USERS)


@pytest.mark.parametrize("users", [USERS, None])
def test_a_group_of_taste_that_there_will_not_be_is_an_error(users: Any) -> None:
    rules = students(ninth="age < 30 or taste == 9")
    message = "names the taste group 9; distill.taste_groups makes 1 to 2"
    with pytest.raises(RuleError, match=message):
        check_rules(rules, (), users, taste_groups=2)
    assert check_rules(students(second="taste == 2"), (), users, taste_groups=2) == []
    assert check_rules(students(some="taste > 1"), (), users, taste_groups=2) == []


def test_a_group_of_taste_without_users_is_an_error() -> None:
    rules = students(ninth="taste == 9")
    with pytest.raises(SegmentError, match="`taste == 9` matches none of 8 users"):
        assign(USERS, HISTORY, rules, 1, ["1"] * 8)


def test_a_column_of_the_users_named_taste_is_an_attribute_unless_there_are_groups() -> None:
    users = USERS.assign(taste=["jazz", "rock"] * 4)
    rules = students(jazz="taste == 'jazz'")
    assert groups(assign(users, HISTORY, rules, 1))["jazz"] == [0, 2, 4, 6]
    with pytest.raises(RuleError, match="`taste` is the group by taste .*; rename the users' col"):
        assign(users, HISTORY, rules, 1, ["1"] * 8)
