"""Check segment rules without any user data: rules that never match, shadowed rules, ties.

A rule only compares attributes with a few constants, so a few values of each represent all: every
constant, a value between each two and beyond them, and a missing value. If a rule holds for no
combination of these, it can never match; if it holds only where a rule evaluated before it holds,
it is shadowed.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from decant.features.segments import HISTORY_LENGTH, Facts, Rule, RuleError
from decant.features.values import attribute_value, number

MOST = 20_000  # combinations to check; with more, the check is skipped
MOST_PAIRS = 5  # pairs listed
_AFTER = "!"  # appended to a text: the next one in order, and an unlikely value


def check(rules: Sequence[Rule]) -> list[str]:
    """Find rules that can never serve a user, and pairs of rules that only their names order.

    Args:
        rules: in evaluation order.

    Returns:
        A line for each pair of rules with equal priority that can match the same user, up to
        `MOST_PAIRS`, and a line that counts the other pairs.

    Raises:
        RuleError: a rule can never match, or rules before it take all users that it matches.
    """
    for place, rule in enumerate(rules):
        _must_match(rule, rules[:place])
    undecided = [
        _undecided(first, second, shared)
        for first, second in itertools.combinations(rules, 2)
        if first.priority == second.priority and (shared := _shared(first, second)) is not None
    ]
    more = len(undecided) - MOST_PAIRS
    rest = [f"{more} more pairs of students have equal priority and can match the same user"]
    return [*undecided[:MOST_PAIRS], *(rest if more > 0 else [])]


def _must_match(rule: Rule, before: Sequence[Rule]) -> None:
    cases = _cases([rule])
    if cases is None:
        return
    if not any(map(rule.matches, cases)):
        raise RuleError(rule.segment, f"`{rule.text}` can never match")
    taken = _cases([rule, *before])
    if taken is None or not before:
        return
    left = (facts for facts in taken if rule.matches(facts))
    if all(any(other.matches(facts) for other in before) for facts in left):
        others = [other.segment for other in before if _shared(other, rule) is not None]
        raise RuleError(
            rule.segment,
            f"`{rule.text}` can never serve a user: all that it matches go to "
            f"{' or '.join(others)}, evaluated before it (a higher priority, or the same and an "
            "earlier name); give it a higher priority, or change the rule",
        )


def _shared(first: Rule, second: Rule) -> Facts | None:
    """A user that both rules match; None if there is none, or too many cases to search."""
    cases = _cases([first, second])
    both = (f for f in cases or () if first.matches(f) and second.matches(f))
    return next(both, None)


def _undecided(first: Rule, second: Rule, shared: Facts) -> str:
    user = ", ".join(f"{name} {value}" for name, value in shared.items() if value is not None)
    return (
        f"students.{first.segment} and students.{second.segment} have priority {first.priority} "
        f"and can match the same user ({user}): {first.segment} is evaluated first, by its name; "
        "set different priorities to decide"
    )


def _cases(rules: Sequence[Rule]) -> Iterator[Facts] | None:
    """Users that represent all, as far as these rules distinguish them; None if too many."""
    if any(rule.joint for rule in rules):
        return None
    names = sorted({name for rule in rules for name in rule.attributes})
    values = [list(_values(name, rules)) for name in names]
    if math.prod(map(len, values)) > MOST:
        return None
    return (dict(zip(names, case, strict=True)) for case in itertools.product(*values))


def _values(name: str, rules: Iterable[Rule]) -> Iterator[str | None]:
    """Values of one attribute: its constants, values between and beyond them, None."""
    constants = {c for rule in rules for c in rule.constants if c.attribute == name}
    numbers = sorted({n for c in constants if (n := number(c.value)) is not None})
    texts = sorted({c.value for c in constants})
    if name == HISTORY_LENGTH:
        whole = {math.floor(n) + step for n in numbers for step in (-1, 0, 1)}
        yield from (str(n) for n in sorted(whole) if n >= 0)
        return
    yield from texts
    for below, above in itertools.pairwise([None, *numbers, None]):
        yield attribute_value(_between(below, above))
    if any(not constant.is_number for constant in constants):
        yield _AFTER
        yield from (value + _AFTER for value in texts)
        yield from (f"+{c.value}" for c in constants if c.is_number)  # equal only as numbers
    yield None


def _between(below: float | None, above: float | None) -> float:
    if below is None or above is None:
        return (above or 0.0) - 1.0 if below is None else below + 1.0
    return (below + above) / 2
