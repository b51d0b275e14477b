"""A checksum inside a JSON document, over all its other fields.

It detects accidents and partial edits; it is not a signature. Documents of earlier versions have
neither `format` nor `checksum` and are accepted. The field `format` is covered by the checksum and
requires it, so neither can be removed without the other.
"""

from collections.abc import Mapping
from typing import Any

from decant.files import canonical, digest, parse_json, readable

FORMAT = 2  # the first format with a checksum
VERSION, CHECKSUM = "format", "checksum"


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add format and checksum to a document; `readable` gives the bytes to store."""
    whole = {**document, VERSION: FORMAT}
    return {**whole, CHECKSUM: digest(canonical(whole))}


def seal_problem(name: str, content: bytes) -> str | None:
    """The problem of a stored document; None if it is unchanged, or of an earlier version.

    Raises:
        ContentError: the content is not a JSON mapping.
    """
    document = parse_json(name, content)
    checksum = document.get(CHECKSUM)
    if checksum is None and VERSION not in document:
        return None
    unsealed = {key: value for key, value in document.items() if key != CHECKSUM}
    if checksum is None:
        return f"{name} has no checksum"
    if digest(canonical(unsealed)) != checksum or readable(document) != content:
        return f"{name} was changed"
    return None
