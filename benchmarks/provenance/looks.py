"""The list of looks at test windows: who looked at what, and what was decided on it."""

import argparse
import datetime
from pathlib import Path

from decant.files import replace_file

LOOKS = Path("docs/test-looks.md")


class LooksError(ValueError):
    """The list of looks is missing, so a look could not be entered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is missing: a look at a test window is entered there; restore it")


def purpose(text: str) -> str:
    """The argument of `--test`, as one line.

    Raises:
        ArgumentTypeError: it says nothing.
    """
    if words := " ".join(text.split()):
        return words
    raise argparse.ArgumentTypeError("say what will be decided on the test window")


def check_list(root: Path) -> None:
    """Check that a look can be entered, before hours of measuring.

    Raises:
        LooksError: the list is missing.
    """
    if not (root / LOOKS).is_file():
        raise LooksError(root / LOOKS)


def enter(root: Path, commit: str, data_set: str, command: str, decision: str) -> None:
    """Append a look to the list: date, commit, data set, command, what is decided on it."""
    path = root / LOOKS
    check_list(root)
    today = f"{datetime.date.today():%Y-%m-%d}"
    cells = (today, f"`{commit[:7]}`", data_set, f"`{command}`", decision)
    row = " | ".join(cell.replace("|", "\\|") for cell in cells)
    before = path.read_text(encoding="utf-8")
    replace_file(path, f"{before.rstrip()}\n| {row} |\n")
