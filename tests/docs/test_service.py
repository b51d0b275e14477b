"""The reference of the HTTP service: every endpoint, status and field."""

import pytest

from decant.serving.app import ENDPOINTS, openapi
from decant.serving.openapi import Endpoint
from docs._generate import service

PAGE = service.page()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_every_endpoint_is_described_with_each_status(endpoint: Endpoint) -> None:
    section = PAGE.split(f"\n## {endpoint.method} {endpoint.path}\n")[1].split("\n## ")[0]
    assert all(f"| `{status}` |" in section for status in endpoint.answers)


def test_every_type_is_described_with_each_field() -> None:
    for name, schema in openapi(None)["components"]["schemas"].items():
        section = PAGE.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert all(f"| `{field}` |" in section for field in schema["properties"])
