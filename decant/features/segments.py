"""Which student serves whom: rules on raw user attributes, evaluated the same way everywhere.

A rule is a comparison or several joined by `and`, `or`, `not`: `gender == 'F' and age < 35`,
`country in ['France', 'Spain']`, `history_length >= 20`. A comparison with an unknown attribute
is neither true nor false, and a rule that is not true does not match.
"""

import ast
import difflib
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from decant.features.raw import Raw, number, plain

GENERAL = "general"
HISTORY_LENGTH = "history_length"  # events in the request's own history
Facts = Mapping[str, Any]
Test = Callable[[Facts], bool | None]  # None: unknown

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MEMBERSHIP = (ast.In, ast.NotIn)


class RuleError(ValueError):
    """A segment's rule cannot be read, or names an attribute that does not exist."""

    def __init__(self, segment: str, problem: str) -> None:
        self.segment = segment
        super().__init__(f"students.{segment}.where: {problem}")


@dataclass(frozen=True)
class Rule:
    """One segment's rule, parsed. `attributes`: every name it reads."""

    segment: str
    text: str
    priority: int
    attributes: frozenset[str]
    test: Test = field(compare=False, repr=False)

    def matches(self, facts: Facts) -> bool:
        """Is the rule true of a user with these raw attributes?"""
        return self.test(facts) is True


def parse_rule(segment: str, text: str, priority: int = 0) -> Rule:
    """Read one rule.

    Raises:
        RuleError: it is not a comparison of attributes with constants.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f"at column {error.offset}" if error.offset else "to its end"
        problem = f"cannot read `{text}` {where}; write it like gender == 'F' and age < 35"
        raise RuleError(segment, problem) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte, a thousand brackets
        raise RuleError(segment, f"cannot read it: {error}") from None
    names: set[str] = set()
    test = _Reader(segment, text, names).test(tree)
    if not names:
        raise RuleError(segment, f"`{text}` reads no attribute, so it tells nobody apart")
    return Rule(segment, text, priority, frozenset(names), test)


def parse_rules(rules: Mapping[str, tuple[str, int]], known: Collection[str]) -> list[Rule]:
    """Rules by segment, `(text, priority)` → rules in the order in which they are asked.

    Raises:
        RuleError: a rule does not parse, or reads an attribute that is not among `known`.
    """
    parsed = [parse_rule(name, text, priority) for name, (text, priority) in rules.items()]
    allowed = sorted({*known, HISTORY_LENGTH})
    for rule in parsed:
        for name in sorted(rule.attributes - set(allowed)):
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            problem = f"unknown attribute `{name}` in `{rule.text}`; "
            raise RuleError(rule.segment, f"{problem}{hint}known: {', '.join(allowed)}")
    return in_order_of_asking(parsed)


def in_order_of_asking(rules: list[Rule]) -> list[Rule]:
    """The highest priority first, then by name."""
    return sorted(rules, key=lambda rule: (-rule.priority, rule.segment))


def route(rules: list[Rule], facts: Facts) -> str:
    """The segment of a user: the first rule that matches, else general."""
    return next((rule.segment for rule in rules if rule.matches(facts)), GENERAL)


@dataclass(frozen=True)
class _Reader:
    """Turns the syntax tree of one rule into a test; `names` collects what it reads."""

    segment: str
    text: str
    names: set[str]

    def test(self, node: ast.expr) -> Test:
        match node:
            case ast.BoolOp(op=op, values=values):
                return _joined([self.test(value) for value in values], isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negated(self.test(operand))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return _joined([self.comparison(a, op, b) for a, op, b in pairs], False)
        raise self.error(f"`{ast.unparse(node)}` in `{self.text}` is not a comparison")

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Test:
        if isinstance(op, _MEMBERSHIP):
            return self.membership(left, isinstance(op, ast.NotIn), right)
        if type(op) not in _ORDER:
            raise self.error(f"unknown comparison in `{self.text}`; there are == != < <= > >= in")
        compare, first, second = _ORDER[type(op)], self.operand(left), self.operand(right)
        return lambda facts: _compare(compare, first(facts), second(facts))

    def membership(self, left: ast.expr, negate: bool, right: ast.expr) -> Test:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise self.error(f"`in` of `{self.text}` needs a list, such as ['France', 'Spain']")
        value, options = self.operand(left), [self.constant(option) for option in right.elts]
        contained: list[Test] = [
            lambda facts, option=option: _compare(operator.eq, value(facts), option)  # type: ignore[misc]
            for option in options
        ]
        among = _joined(contained, True)
        return _negated(among) if negate else among

    def operand(self, node: ast.expr) -> Callable[[Facts], Raw]:
        if isinstance(node, ast.Name):
            name = node.id
            self.names.add(name)
            return lambda facts: plain(facts.get(name))
        constant = self.constant(node)
        return lambda facts: constant

    def constant(self, node: ast.expr) -> Raw:
        try:
            value = plain(ast.literal_eval(node))
        except (ValueError, TypeError):
            value = None
        if value is None:
            shown = f"`{ast.unparse(node)}` in `{self.text}`"
            raise self.error(f"{shown} is neither an attribute nor a text or number")
        return value

    def error(self, problem: str) -> RuleError:
        return RuleError(self.segment, problem)


def _joined(tests: list[Test], decisive: bool) -> Test:
    """Or (`decisive` is True) and and (False) in three-valued logic (Kleene)."""

    def test(facts: Facts) -> bool | None:
        unknown = False
        for part in tests:
            result = part(facts)
            if result is decisive:
                return decisive
            unknown = unknown or result is None
        return None if unknown else not decisive

    return test


def _negated(inner: Test) -> Test:
    def test(facts: Facts) -> bool | None:
        result = inner(facts)
        return None if result is None else not result

    return test


def _compare(compare: Callable[[Any, Any], bool], left: Raw, right: Raw) -> bool | None:
    """Compare plain values; where one is a number, both must be, else the outcome is unknown."""
    if left is None or right is None:
        return None
    if isinstance(left, str) and isinstance(right, str):
        return compare(left, right)
    first, second = number(left), number(right)
    return None if first is None or second is None else compare(first, second)
