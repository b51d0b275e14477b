"""The OpenAPI document says what the types say."""

from typing import Annotated

import msgspec

from decant.serving.app import ENDPOINTS, openapi
from decant.serving.openapi import Endpoint, document


class Question(msgspec.Struct):
    """What is asked."""

    text: Annotated[str, msgspec.Meta(description="in one line")]


class Reply(msgspec.Struct):
    """What is replied."""

    text: str | None = None


class Failure(msgspec.Struct):
    """Why there is no reply."""

    error: str


ASK = Endpoint("/ask", "POST", "Ask", {200: ("ok", Reply), 400: ("bad", Failure)}, Question)
LOOK = Endpoint("/ask", "GET", "Look", {200: ("ok", Reply)})


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_an_endpoint_is_described_by_its_types() -> None:
    made = document({"title": "T", "version": "1"}, [ASK, LOOK], {"/ask": {"text": "why"}})
    assert (made["openapi"], made["info"]) == ("3.1.0", {"title": "T", "version": "1"})
    ask, look = made["paths"]["/ask"]["post"], made["paths"]["/ask"]["get"]
    assert ask["requestBody"]["content"]["application/json"] == {
        "schema": reference("Question"),
        "example": {"text": "why"},
    }
    assert ask["responses"]["400"] == {
        "description": "bad",
        "content": {"application/json": {"schema": reference("Failure")}},
    }
    assert "requestBody" not in look
    assert look["responses"]["200"]["content"]["application/json"]["schema"] == reference("Reply")


def test_schemas_carry_descriptions_and_those_of_errors_come_last() -> None:
    schemas = document({}, [ASK, LOOK], {"/ask": {}})["components"]["schemas"]
    assert list(schemas) == ["Question", "Reply", "Failure"]
    assert schemas["Question"]["description"] == "What is asked."
    assert schemas["Question"]["properties"]["text"]["description"] == "in one line"
    assert schemas["Question"]["required"] == ["text"]
    assert schemas["Reply"]["properties"]["text"]["default"] is None


def test_every_field_of_the_service_has_a_description() -> None:
    for name, schema in openapi(None)["components"]["schemas"].items():
        missing = [key for key, field in schema["properties"].items() if "description" not in field]
        assert missing == [], name


def test_each_endpoint_of_the_service_says_what_it_sends_when_all_is_well() -> None:
    assert [(e.method, e.path) for e in ENDPOINTS if 200 in e.answers] == [
        ("POST", "/recommend"),
        ("GET", "/healthz"),
    ]
