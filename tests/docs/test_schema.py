"""JSON schemas and foreign text, as cells of a table."""

from typing import Any

import pytest

from docs._generate.schema import literal, plain, row, table, values


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 1_000_000}, "whole number, 1 to 1,000,000"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0, at most 1"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/$defs/Range"}}, "list of Range"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}},
         "mapping of true or false"),
        ({"type": "object", "additionalProperties": True}, "mapping"),
        ({"const": "x"}, "`x`"),
    ],
)  # fmt: skip
def test_values_say_what_a_schema_allows(schema: dict[str, Any], text: str) -> None:
    assert values(schema) == text


def test_foreign_text_is_no_markup_and_code_stays_code() -> None:
    assert plain("a | b * <c> {d} `e | f`") == "a &#124; b &#42; &#60;c> &#123;d} `e | f`"


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert row("x") == "| x |"
    assert (literal(None), literal("é"), literal([True])) == ("`null`", '`"é"`', "`[true]`")
