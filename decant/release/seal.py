"""A document with a checksum of itself: a field that is changed, removed or added is noticed.

It protects against accidents and half-made changes, not against somebody who computes the checksum
anew. Documents of earlier versions have none and are taken as they are. A document says that it has
one by its `format`: so the checksum cannot be lost unnoticed.
"""

from collections.abc import Mapping
from typing import Any

from decant.release.content import canonical, digest, parse_json, readable

FORMAT = 2  # the first one with a checksum
VERSION, CHECKSUM = "format", "checksum"


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its format and checksum; `readable` makes the bytes that are stored."""
    whole = {**document, VERSION: FORMAT}
    return {**whole, CHECKSUM: digest(canonical(whole))}


def seal_problem(name: str, content: bytes) -> str | None:
    """What is wrong with a stored document; None if it is whole, or of an earlier version.

    Raises:
        ContentError: it is not a JSON mapping.
    """
    document = parse_json(name, content)
    given = document.get(CHECKSUM)
    if given is None and VERSION not in document:
        return None
    unsealed = {key: value for key, value in document.items() if key != CHECKSUM}
    if given is None:
        return f"{name} has lost its checksum"
    if digest(canonical(unsealed)) != given or readable(document) != content:
        return f"{name} was changed"
    return None
