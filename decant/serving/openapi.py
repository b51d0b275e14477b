"""The OpenAPI document, generated from the endpoints' msgspec types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"


@dataclass(frozen=True)
class Endpoint:
    """One path and method, with the type of its request, if any, and its answers by status."""

    path: str
    method: str
    summary: str
    answers: Mapping[int, tuple[str, type]]  # status -> (meaning, type of the body)
    reads: type | None = None


def document(
    info: Mapping[str, Any], endpoints: Sequence[Endpoint], examples: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe endpoints; `examples`: a body for each path that reads one."""
    schemas, components = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation: dict[str, Any] = {"summary": endpoint.summary}
        if endpoint.reads:
            body = {"schema": schemas[endpoint.reads], "example": examples[endpoint.path]}
            operation["requestBody"] = {"required": True, "content": {JSON: body}}
        operation["responses"] = {
            str(status): {"description": meaning, "content": {JSON: {"schema": schemas[sent]}}}
            for status, (meaning, sent) in endpoint.answers.items()
        }
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": dict(info),
        "paths": paths,
        "components": {"schemas": components},
    }


def _schemas(endpoints: Sequence[Endpoint]) -> tuple[dict[type, dict[str, Any]], dict[str, Any]]:
    """A reference for each type, and the referenced schemas, those of errors last."""
    usual = [t for e in endpoints for t in (e.reads, e.answers[200][1]) if t is not None]
    sent = [t for e in endpoints for _, t in e.answers.values()]
    types = list(dict.fromkeys([*usual, *sent]))
    references, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    return dict(zip(types, references, strict=True)), components
