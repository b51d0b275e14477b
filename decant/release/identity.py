"""The id of a release, computed from candidate.json."""

import re
from collections.abc import Mapping
from typing import Any

from decant.files import canonical, digest

IDENTITY_FILES = ("model.onnx", "config.json", "items.json")  # of each student
ID_LENGTH = 16


def is_id(text: str) -> bool:
    """Whether a text has the form of a release's id."""
    return re.fullmatch(rf"[0-9a-f]{{{ID_LENGTH}}}", text) is not None


def candidate_id(candidate: Mapping[str, Any]) -> str:
    """The id computed from a candidate's files, params and data: 16 hex digits."""
    files: Mapping[str, str] = candidate["files"]
    identity = {
        "models": {path: sha for path, sha in files.items() if _is_model(path)},
        "router": files["router.json"],
        "encoder": files["encoder.json"],
        "params": candidate["params"],
        "data": candidate["data"],
    }
    return digest(canonical(identity))[:ID_LENGTH]


def _is_model(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == "students" and parts[2] in IDENTITY_FILES
