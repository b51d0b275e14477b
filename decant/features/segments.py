"""Segment rules on raw user attributes: which student serves which users.

A rule is a comparison or several joined by `and`, `or`, `not`: `gender == 'F' and age < 35`,
`country in ['France', 'Spain']`, `premium == true`, `history_length >= 20`, `taste == 2`. Values
are compared in canonical form (`decant.features.values`), with a number as numbers. A comparison
with an unknown attribute is neither true nor false, and a rule that is not true does not match.
"""

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from decant.features.values import attribute_value, number
from decant.suggest import suggest

GENERAL = "general"
LONGEST, DEEPEST = 20_000, 50  # characters and nesting of a rule; evaluated per request
SHOWN = 60  # characters of a rule in a message
HISTORY_LENGTH = "history_length"  # events in the request's own history
TASTE = "taste"  # its group by taste, where `distill.taste_groups` asks for them
COMPUTED = (HISTORY_LENGTH, TASTE)  # from the history: no request gives them
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
_TRUTH = ("true", "false", "True", "False")


class RuleError(ValueError):
    """A segment's rule cannot be read, or names an attribute that does not exist."""

    def __init__(self, segment: str, problem: str) -> None:
        self.segment = segment
        super().__init__(f"students.{segment}.where: {problem}")


@dataclass(frozen=True)
class Constant:
    """A canonical value that a rule compares an attribute with, as a number or as a text;
    `in_order`: by < <= > >=, not by (in)equality."""

    attribute: str
    value: str
    is_number: bool
    in_order: bool


@dataclass(frozen=True)
class Rule:
    """One segment's parsed rule. `attributes`: all names it reads; `constants`: values they are
    compared with; `joint`: two attributes are compared with each other."""

    segment: str
    text: str
    priority: int
    attributes: frozenset[str]
    test: Test = field(compare=False, repr=False)
    constants: frozenset[Constant] = frozenset()
    joint: bool = False

    def matches(self, facts: Facts) -> bool:
        """Whether the rule is true for a user with these raw attributes."""
        return self.test(facts) is True


def parse_rule(segment: str, text: str, priority: int = 0) -> Rule:
    """Read one rule.

    Raises:
        RuleError: the text is not a comparison of attributes with constants.
    """
    if len(text) > LONGEST:
        problem = f"the rule has {len(text):,} characters, at most {LONGEST:,} are allowed"
        raise RuleError(segment, f"{problem}; store the group in a column of the users' table")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f"at column {error.offset}" if error.offset else "to its end"
        problem = (
            f"cannot parse `{text}` {where}; write it like gender == 'F' and age < 35, with "
            "everything except numbers in quotes: code == '007'"
        )
        raise RuleError(segment, problem) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte, a thousand brackets
        raise RuleError(segment, f"cannot parse it: {error}") from None
    if _depth(tree) > DEEPEST:
        raise RuleError(segment, f"`{text[:SHOWN]}…` is nested deeper than {DEEPEST} times")
    reader = _Reader(segment, text)
    test = reader.test(tree)
    if not reader.names:
        raise RuleError(segment, f"`{text}` uses no attribute, so it cannot distinguish users")
    names, constants = frozenset(reader.names), frozenset(reader.constants)
    return Rule(segment, text, priority, names, test, constants, reader.joint)


def _depth(tree: ast.AST) -> int:
    """Depth of nesting of an expression."""
    deepest, left = 0, [(tree, 1)]
    while left:
        node, depth = left.pop()
        deepest = max(deepest, depth)
        left += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def parse_rules(rules: Mapping[str, tuple[str, int]], known: Collection[str]) -> list[Rule]:
    """Rules by segment, `(text, priority)` → parsed rules in evaluation order.

    Raises:
        RuleError: a rule does not parse, or uses an attribute that is not in `known`.
    """
    parsed = [parse_rule(name, text, priority) for name, (text, priority) in rules.items()]
    allowed = sorted({*known, HISTORY_LENGTH})
    for rule in parsed:
        for name in sorted(rule.attributes - set(allowed)):
            hint = suggest(name, allowed, also_list=True)
            if name == TASTE:
                hint = "set distill.taste_groups to the number of groups"
            problem = f"unknown attribute `{name}` in `{rule.text}`; {hint}"
            raise RuleError(rule.segment, problem)
    return by_priority(parsed)


def by_priority(rules: list[Rule]) -> list[Rule]:
    """The highest priority first, then by name."""
    return sorted(rules, key=lambda rule: (-rule.priority, rule.segment))


def route(rules: list[Rule], facts: Facts) -> str:
    """The segment of a user: the first rule that matches, else general."""
    return next((rule.segment for rule in rules if rule.matches(facts)), GENERAL)


@dataclass
class _Reader:
    """Turns the syntax tree of one rule into a test; collects its attributes and constants."""

    segment: str
    text: str
    names: set[str] = field(default_factory=set)
    constants: set[Constant] = field(default_factory=set)
    joint: bool = False

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
            raise self.error(f"unknown comparison in `{self.text}`; use == != < <= > >= in")
        return self.compared(_ORDER[type(op)], left, right)

    def membership(self, left: ast.expr, negate: bool, right: ast.expr) -> Test:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise self.error(f"`in` of `{self.text}` needs a list, such as ['France', 'Spain']")
        self.operand(left)  # also for an empty list
        for option in right.elts:
            self.constant(option)
        contained = [self.compared(operator.eq, left, option) for option in right.elts]
        among = _joined(contained, True)
        return _negated(among) if negate else among

    def compared(
        self, compare: Callable[[Any, Any], bool], left: ast.expr, right: ast.expr
    ) -> Test:
        first, second = self.operand(left), self.operand(right)
        as_numbers = _is_number(left) or _is_number(right)
        sides = [_is_attribute(left), _is_attribute(right)]
        self.joint |= all(sides)
        for attribute, constant in ((left, right), (right, left)):
            if _is_attribute(attribute) and not _is_attribute(constant):
                in_order = compare not in (operator.eq, operator.ne)
                value = self.constant(constant)
                self.constants.add(Constant(ast.unparse(attribute), value, as_numbers, in_order))
        return lambda facts: _compare(compare, first(facts), second(facts), as_numbers)

    def operand(self, node: ast.expr) -> Callable[[Facts], str | None]:
        if isinstance(node, ast.Name) and _is_attribute(node):
            name = node.id
            self.names.add(name)
            return lambda facts: attribute_value(facts.get(name))
        constant = self.constant(node)
        return lambda facts: constant

    def constant(self, node: ast.expr) -> str:
        try:
            literal = node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
        except (ValueError, TypeError):
            literal = None
        value = attribute_value(literal)
        if value is None or _is_attribute(node):
            shown = f"`{ast.unparse(node)}` in `{self.text}`"
            raise self.error(f"{shown} is neither an attribute nor a text or number")
        return value

    def error(self, problem: str) -> RuleError:
        return RuleError(self.segment, problem)


def _joined(tests: list[Test], decisive: bool) -> Test:
    """`or` (`decisive` is True) or `and` (False) in three-valued logic (Kleene)."""

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


def _is_attribute(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id not in _TRUTH


def _is_number(node: ast.expr) -> bool:
    """Whether the node is a number, such as 35 or -3; '35' in quotes is a text."""
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    kind = type(inner.value) if isinstance(inner, ast.Constant) else None
    return kind in (int, float)


def _compare(
    compare: Callable[[Any, Any], bool], left: str | None, right: str | None, as_numbers: bool
) -> bool | None:
    """Compare canonical values; None if one is unknown, or not a number in a numeric comparison.

    Order comparisons are numeric if either value is a number.
    """
    if left is None or right is None:
        return None
    in_order = compare not in (operator.eq, operator.ne)
    first, second = number(left), number(right)
    if as_numbers or (in_order and (first is not None or second is not None)):
        return None if first is None or second is None else compare(first, second)
    return compare(left, right)
