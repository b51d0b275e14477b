"""JSON schemas as short text for a cell of a table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
NAMES = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "object": "mapping",
}


def values(schema: Schema) -> str:
    """Describe which values a schema allows: `whole number, 1 to 64`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(values(choice) for choice in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "anything"))
    return ", ".join(filter(None, [NAMES.get(kind, kind) + _elements(schema), _limits(schema)]))


def _elements(schema: Schema) -> str:
    """What a list or a mapping holds."""
    elements = schema.get("items") or schema.get("additionalProperties")
    if not elements and "patternProperties" in schema:
        elements = next(iter(schema["patternProperties"].values()))
    if not isinstance(elements, Mapping) or not elements:
        return ""
    return f" of {values(elements)}"


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    limits = {"at least": low, "above": above, "at most": high, "below": below}
    return ", ".join(f"{word} {number(n)}" for word, n in limits.items() if n is not None)


def number(value: float) -> str:
    """Format a limit: `1,000,000`, `0.5`."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def literal(value: Any) -> str:
    """Format a value as YAML and JSON write it, in backticks; nothing where there is none."""
    return f"`{json.dumps(value, ensure_ascii=False)}`" if value is not None else "`null`"


def plain(text: str) -> str:
    """Escape what Markdown would take for markup; code in backticks stays code."""
    parts = " ".join(text.split()).split("`")
    for i in range(0, len(parts), 2):
        for mark in "<*{|":
            parts[i] = parts[i].replace(mark, f"&#{ord(mark)};")
    return "`".join(parts)


def row(*cells: str) -> str:
    """Lay out one row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    return "\n".join([row(*head), row(*["---"] * len(head)), *(row(*cells) for cells in rows)])
