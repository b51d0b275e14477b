"""Users → student: who belongs to which segment, and which segments are large enough."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.features.segments import GENERAL, HISTORY_LENGTH, Rule, RuleError, parse_rules, route
from decant.params import Student


class SegmentError(ValueError):
    """A segment has no users: nobody matches, or rules of higher priority take all who do."""

    def __init__(self, rule: Rule, users: int, left: int) -> None:
        self.segment = rule.segment
        of_whom = f"{users} users"
        if left < users:
            of_whom = f"the {left} of {users} users that rules asked before it leave"
        super().__init__(
            f"students.{rule.segment}: `{rule.text}` matches none of {of_whom}; correct the rule "
            "or its priority, or remove the student"
        )


@dataclass(frozen=True)
class Membership:
    """`members`: user indices by student, the segment's own; general's are everybody else's.

    `folded`: segments of fewer than the minimum of users; their users are general's.
    """

    members: dict[str, np.ndarray]
    folded: list[str]
    router: dict[str, Any]


def assign(
    users: pd.DataFrame,
    history: np.ndarray,
    segments: dict[str, Student],
    min_users: int,
) -> Membership:
    """Assign every user to one student.

    Args:
        users: raw attributes, one row per user index.
        history: int [U], number of events each user has in training.

    Raises:
        RuleError: a rule does not parse, names an unknown attribute or one that has two meanings.
        SegmentError: a segment has no users.
    """
    rules = parse_rules(
        {name: (s.where or "", s.priority) for name, s in segments.items()},
        [c for c in users.columns if c != Columns.USER],
    )
    for rule in rules:
        if HISTORY_LENGTH in rule.attributes and HISTORY_LENGTH in users:
            problem = f"`{HISTORY_LENGTH}` is the number of events; rename the users' column"
            raise RuleError(rule.segment, problem)
    columns = sorted({a for rule in rules for a in rule.attributes} - {HISTORY_LENGTH})
    facts = {c: users[c].astype(object).where(users[c].notna(), None).tolist() for c in columns}
    facts[HISTORY_LENGTH] = [int(length) for length in history]
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
    folded = sorted(name for name, found in members.items() if len(found) < min_users)
    kept = {rule.segment: {"where": rule.text, "priority": rule.priority} for rule in rules}
    in_segment = np.isin(chosen, [name for name in members if name not in folded])
    members[GENERAL] = np.flatnonzero(~in_segment)
    return Membership(
        {name: found.astype(np.int32) for name, found in members.items()},
        folded,
        {"students": kept, "folded": folded},
    )
