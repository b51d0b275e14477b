"""How many rows the last accepted run had: a log that lost a third is noticed though all is valid.

A fact about the workspace, kept beside it and outside of DVC: it decides whether a run stops, and
never what a run writes.
"""

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(".decant/accepted")


class TooMuchDroppedError(ValueError):
    """Much fewer rows than in the last accepted run; `parts`: name -> rows then and now."""

    def __init__(self, parts: dict[str, tuple[int, int]], limit: float, record: Path) -> None:
        self.parts, self.limit, self.record = parts, limit, record
        shown = ", ".join(
            f"{name}: {now:,} rows, {before:,} in the last accepted run ({now / before - 1:+.1%})"
            for name, (before, now) in parts.items()
        )
        super().__init__(
            f"{shown}; validate.max_drop allows {-limit:.0%}: look whether a file is cut or "
            f"missing; if this is meant, remove {record} and run again"
        )


def compare(root: Path, source: str, key: str, rows: dict[str, int], limit: float) -> None:
    """Compare accepted rows, by part, with those of the last accepted run of this source.

    `key`: what has to be the same for both to be comparable; else nothing is compared.

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
    """Note the rows of a run that was accepted."""
    path = root / FOLDER / f"{source}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps({"key": key, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _read(path: Path) -> dict[str, Any]:
    """A note; empty if there is none, or none that can be read: then nothing is compared."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return {"key": str(note["key"]), "rows": {n: int(c) for n, c in note["rows"].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
