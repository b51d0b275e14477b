"""Row counts of the last accepted run, to notice a log that lost rows although all are valid.

Stored in the workspace, outside of DVC: the record decides whether a run stops, never what it
writes.
"""

import json
from pathlib import Path
from typing import Any

from decant.files import readable, replace_file

FOLDER = Path(".decant/accepted")


class TooMuchDroppedError(ValueError):
    """Far fewer rows than in the last accepted run; `parts`: name -> rows then and now."""

    def __init__(self, parts: dict[str, tuple[int, int]], limit: float, record: Path) -> None:
        self.parts, self.limit, self.record = parts, limit, record
        shown = ", ".join(
            f"{name}: {now:,} rows, {before:,} in the last accepted run ({now / before - 1:+.1%})"
            for name, (before, now) in parts.items()
        )
        super().__init__(
            f"{shown}; validate.max_drop allows {-limit:.0%}: check whether a file is truncated "
            f"or missing; if this is intended, remove {record} and run again"
        )


def compare(root: Path, source: str, key: str, rows: dict[str, int], limit: float) -> None:
    """Compare accepted rows, by part, with those of the last accepted run of this source.

    Runs are compared only if they have the same `key`.

    Raises:
        TooMuchDroppedError: a part has lost more than `limit` of its rows.
    """
    before = _read(root / FOLDER / f"{source}.json")
    if before.get("key") != key:
        return
    lost = {
        name: (then, rows.get(name, 0))
        for name, then in before["rows"].items()
        if rows.get(name, 0) < (1 - limit) * then
    }
    if lost:
        raise TooMuchDroppedError(lost, limit, FOLDER / f"{source}.json")


def remember(root: Path, source: str, key: str, rows: dict[str, int]) -> None:
    """Record the rows of an accepted run."""
    path = root / FOLDER / f"{source}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, readable({"key": key, "rows": rows}))


def _read(path: Path) -> dict[str, Any]:
    """The record; empty if missing or unreadable, and then nothing is compared."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return {"key": str(note["key"]), "rows": {n: int(c) for n, c in note["rows"].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
