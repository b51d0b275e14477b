"""The page for contributors: CONTRIBUTING.md with links that work within the site."""

import re
from pathlib import Path


def page(root: Path) -> str:
    """The page in Markdown."""
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)
