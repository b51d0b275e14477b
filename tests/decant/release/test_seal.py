"""A sealed document is one that nobody has changed since."""

import json

import pytest

from decant.files import ContentError, readable
from decant.release.seal import seal_problem, sealed

DOCUMENT = {"id": "a", "files": {"b": 1}, "none": None}


def test_a_sealed_document_has_no_problem() -> None:
    assert seal_problem("x.json", readable(sealed(DOCUMENT))) is None
    assert sealed(DOCUMENT).items() > DOCUMENT.items()


def test_a_document_of_before_is_taken_as_it_is() -> None:
    assert seal_problem("x.json", json.dumps(DOCUMENT).encode()) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": "b"}, "x.json was changed"),
        ({"more": 1}, "x.json was changed"),
        ({"format": 3}, "x.json was changed"),
        ({"checksum": "0" * 64}, "x.json was changed"),
        ({"checksum": None}, "x.json has no checksum"),
    ],
)
def test_what_was_changed_is_noticed(changes: dict[str, object], problem: str) -> None:
    assert seal_problem("x.json", readable({**sealed(DOCUMENT), **changes})) == problem


@pytest.mark.parametrize("name", ["id", "files", "none", "format", "checksum"])
def test_what_was_removed_is_noticed(name: str) -> None:
    left = {key: value for key, value in sealed(DOCUMENT).items() if key != name}
    assert seal_problem("x.json", readable(left)) is not None


def test_other_bytes_of_the_same_document_are_noticed() -> None:
    content = readable(sealed(DOCUMENT))
    for other in (content[:-1], content + b"\n", json.dumps(sealed(DOCUMENT)).encode()):
        assert seal_problem("x.json", other) == "x.json was changed"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_said(content: bytes) -> None:
    with pytest.raises(ContentError, match="x.json"):
        seal_problem("x.json", content)
