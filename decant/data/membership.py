"""Assign users to students by the segment rules; segments that are too small are merged."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.notes import most_common
from decant.data.tables import ORIGIN, attribute_values
from decant.features import rule_check
from decant.features.segments import (
    COMPUTED,
    GENERAL,
    HISTORY_LENGTH,
    TASTE,
    Constant,
    Rule,
    RuleError,
    by_priority,
    parse_rule,
    parse_rules,
    route,
)
from decant.features.sequences import Sequences, training_events
from decant.features.values import number
from decant.params.models import Student
from decant.params.students import folded_students, groups_of
from decant.suggest import MANY, suggest

MOST_POPULAR = 1000  # items of a group's list
SHOWN_VALUES = 10  # of an attribute, in one message


class SegmentError(ValueError):
    """A segment has no users: none match, or rules of higher priority take all that do."""

    def __init__(self, rule: Rule, users: int, left: int, why: Sequence[str] = ()) -> None:
        self.segment = rule.segment
        of_whom = f"{users} users"
        if left < users:
            of_whom = f"the {left} of {users} users left by rules evaluated before it"
        super().__init__(
            f"students.{rule.segment}: `{rule.text}` matches none of {of_whom}"
            f"{''.join(f' ({line})' for line in why)}; correct the rule or its priority, or remove "
            "the student"
        )


@dataclass(frozen=True)
class Membership:
    """`members`: user indices by student; general has all users outside the segments.

    `folded`: segments with too few users, merged into general.
    """

    members: dict[str, np.ndarray]
    folded: list[str]
    router: dict[str, Any]


def check_rules(
    segments: dict[str, Student],
    missing: Collection[str],
    users: pd.DataFrame | None = None,
    taste_groups: int = 0,
) -> list[str]:
    """Check the rules before anything runs; returns one line per warning.

    Args:
        missing: spellings of a missing value.
        users: their raw attributes, if already available.
        taste_groups: number of groups by taste, which rules may name.

    Raises:
        RuleError: a rule does not parse, can never match, is shadowed by others or uses an
            attribute that `users` lacks.
        SegmentError: a rule matches none of the users.
    """
    if users is None:
        rules = [parse_rule(name, s.where or "", s.priority) for name, s in segments.items()]
        check_taste(rules, taste_groups)
        return rule_check.check(by_priority(rules))
    rules = known_rules(segments, users, taste=taste_groups > 0)
    check_taste(rules, taste_groups)
    lines = rule_check.check(rules)
    for rule in rules:
        odd = odd_values(rule, users, missing)
        if len(users) and not _matches_anybody(rule, users):
            raise SegmentError(rule, len(users), len(users), odd)
        lines += [f"students.{rule.segment}: `{rule.text}`: {line}" for line in odd]
    return lines


def check_taste(rules: Sequence[Rule], groups: int) -> None:
    """Raise if a rule names a taste group that there will not be.

    Raises:
        RuleError: it does, and there are taste groups at all.
    """
    known = {str(number) for number in range(1, groups + 1)}
    for rule in rules if groups else ():
        for constant in rule.constants:
            if (
                constant.attribute == TASTE
                and not constant.in_order
                and constant.value not in known
            ):
                problem = f"`{rule.text}` names the taste group {constant.value}; "
                raise RuleError(rule.segment, f"{problem}distill.taste_groups makes 1 to {groups}")


def _matches_anybody(rule: Rule, users: pd.DataFrame) -> bool:
    """Whether a rule on its own matches any user; assumed of rules on the history length."""
    names = sorted(rule.attributes)
    if {*names} & {*COMPUTED} - {*users.columns}:
        return True
    kinds = users[names].drop_duplicates().astype(object)
    kinds = kinds.where(kinds.notna(), None)
    rows = kinds.itertuples(index=False, name=None)
    return any(rule.matches(dict(zip(names, row, strict=True))) for row in rows)


def known_rules(
    segments: dict[str, Student], users: pd.DataFrame, *, taste: bool = False
) -> list[Rule]:
    """The rules in evaluation order, checked against the attributes of the users.

    Raises:
        RuleError: a rule does not parse or names an unknown or ambiguous attribute.
    """
    rules = parse_rules(
        {name: (s.where or "", s.priority) for name, s in segments.items()},
        [*(c for c in users.columns if c not in (Columns.USER, *ORIGIN)), *[TASTE] * taste],
    )
    computed = {HISTORY_LENGTH: "the number of events"}
    if taste:
        computed[TASTE] = "the group by taste (distill.taste_groups)"
    for rule in rules:
        for name, meaning in computed.items():
            if name in rule.attributes and name in users:
                problem = f"`{name}` is {meaning}; rename the users' column"
                raise RuleError(rule.segment, problem)
    return rules


def odd_values(rule: Rule, users: pd.DataFrame, missing: Collection[str]) -> list[str]:
    """Values of a rule that no user has, and users' values that cannot be compared with a number.

    A misspelt value in a list of correct ones only makes a group smaller, so it must be reported.
    """
    lines = []
    for constant in sorted(rule.constants, key=lambda c: (c.attribute, c.value)):
        if constant.attribute in users:
            values = attribute_values(users[constant.attribute]).dropna()
            lines += _about(constant, Counter(values.tolist()), missing)
    return list(dict.fromkeys(lines))


def _about(constant: Constant, counts: Counter[str], missing: Collection[str]) -> list[str]:
    """Warnings on one value of a rule; `counts`: users by value of its attribute."""
    name, value = constant.attribute, constant.value
    if constant.is_number and (
        others := Counter({v: n for v, n in counts.items() if number(v) is None})
    ):
        return [
            f"{others.total():,} of {counts.total():,} users have a {name} that is not a number "
            f"({most_common(others)}): a comparison with a number never holds for them"
        ]
    equal = [
        v for v in counts if (number(v) == number(value) if constant.is_number else v == value)
    ]
    if constant.in_order or equal:
        return []
    if value in missing:
        return [f"`{value}` means a missing {name}, see ingest.missing"]
    values = [other for other, _ in counts.most_common()]
    hint = suggest(value, values, also_list=True, searched=MANY, listed=SHOWN_VALUES)
    return [f"no user has the {name} `{value}`; {hint}"]


def assign(
    users: pd.DataFrame,
    history: np.ndarray,
    students: dict[str, Student],
    min_users: int,
    taste: list[str | None] | None = None,
) -> Membership:
    """Assign every user to one student: general or that of a segment, never a variant.

    Args:
        users: raw attributes, one row per user index.
        history: int [U], number of training events of each user.
        taste: each user's group by taste, where there are groups.

    Raises:
        RuleError: a rule does not parse or names an unknown or ambiguous attribute.
        SegmentError: a segment has no users.
    """
    serving = groups_of(students)
    segments = {name: students[name] for name in serving if name != GENERAL}
    rules = known_rules(segments, users, taste=taste is not None)
    columns = sorted({a for rule in rules for a in rule.attributes} & {*users.columns})
    facts = {c: users[c].astype(object).where(users[c].notna(), None).tolist() for c in columns}
    facts[HISTORY_LENGTH] = [int(length) for length in history]
    if taste is not None:
        facts[TASTE] = taste
    chosen = np.array(
        [
            route(rules, {name: values[user] for name, values in facts.items()})
            for user in range(len(users))
        ]
    )
    members = {rule.segment: np.flatnonzero(chosen == rule.segment) for rule in rules}
    left = len(users)
    for rule in rules:
        if not len(members[rule.segment]):
            raise SegmentError(rule, len(users), left)
        left -= len(members[rule.segment])
    sizes = {name: len(members.get(first, users)) for first in serving for name in serving[first]}
    folded = sorted(set(folded_students(students, sizes, min_users)) & members.keys())
    kept = {rule.segment: {"where": rule.text, "priority": rule.priority} for rule in rules}
    in_segment = np.isin(chosen, [name for name in members if name not in folded])
    members[GENERAL] = np.flatnonzero(~in_segment)
    return Membership(
        {name: indices.astype(np.int32) for name, indices in members.items()},
        folded,
        {"students": kept, "folded": folded},
    )


def popular_items(
    sequences: Sequences, items: tuple[str, ...], members: dict[str, np.ndarray]
) -> dict[str, list[list[Any]]]:
    """The most popular items of each group with their training events, most popular first.

    They are recommended to users without a history: the models only predict what follows one.
    """
    events = training_events(sequences)
    starts = np.asarray(sequences.offsets)
    user = np.searchsorted(starts, events, side="right") - 1
    taken = np.asarray(sequences.items)[events]
    lists = {}
    for name, indices in members.items():
        counts = np.bincount(taken[np.isin(user, indices)], minlength=len(items) + 1)
        best = np.argsort(-counts, kind="stable")[:MOST_POPULAR]
        lists[name] = [[items[item - 1], int(counts[item])] for item in best if counts[item]]
    return lists
