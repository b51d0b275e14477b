"""The reference of the HTTP service: from the OpenAPI document that it serves."""

import json
from collections.abc import Iterator
from typing import Any

from decant.serving.app import openapi
from decant.serving.openapi import JSON
from docs._generate.schema import Schema, literal, plain, table, values

INTRODUCTION = """# HTTP service

Generated from the service's own document, `/openapi.json`; `/docs` is an interactive page.
`make serve` starts it on port 8080.
[Running in production](../production.md#limits-of-the-service) lists its limits.

```sh
curl -s localhost:8080/recommend -d '{"history": ["i000012", "i000020"], "k": 5}'
curl -s localhost:8080/healthz
```
"""


def page() -> str:
    """The page in Markdown."""
    document = openapi(None)
    parts = [INTRODUCTION]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += endpoint(method.upper(), path, operation)
    parts.append("## Types")
    for name, schema in document["components"]["schemas"].items():
        parts += described(name, schema)
    return "\n\n".join(parts) + "\n"


def endpoint(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    """Describe one path and method."""
    yield f"## {method} {path}"
    yield f"{operation['summary']}."
    if "requestBody" in operation:
        body = operation["requestBody"]["content"][JSON]
        example = json.dumps(body["example"], indent=2)
        yield f"Reads {linked(body['schema'])}:\n\n```json\n{example}\n```"
    rows = [
        (f"`{status}`", plain(answer["description"]), linked(answer["content"][JSON]["schema"]))
        for status, answer in operation["responses"].items()
    ]
    yield table(("status", "when", "body"), rows)


def described(name: str, schema: Schema) -> Iterator[str]:
    """Describe one type."""
    yield f"### {name}"
    yield plain(schema.get("description", ""))
    rows = []
    for key, field in schema["properties"].items():
        default = literal(field["default"]) if "default" in field else ""
        if key in schema.get("required", []) and schema.get("additionalProperties") is False:
            default = "must be given"
        rows.append((f"`{key}`", values(field), default, plain(field.get("description", ""))))
    yield table(("field", "values", "default", "meaning"), rows)


def linked(schema: Schema) -> str:
    """Link a type."""
    name = values(schema)
    return f"[{name}](#{name.lower()})"
