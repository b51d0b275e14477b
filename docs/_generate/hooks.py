"""Hooks of mkdocs: the reference pages, and no page that loads anything from elsewhere."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs._generate import commands, contributing, service, settings  # noqa: E402 - found from ROOT

LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\ssrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\shref=[\"']?(?:https?:)?//[^>]*>",
    flags=re.IGNORECASE,
)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made from the code."""
    pages = {
        "contributing.md": contributing.page(ROOT),
        "reference/settings.md": settings.page(ROOT),
        "reference/commands.md": commands.page(ROOT),
        "reference/http.md": service.page(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_post_build(config: Any) -> None:
    """Fail if a page would load something from elsewhere."""
    for path in Path(config["site_dir"]).rglob("*.html"):
        if loaded := remote_assets(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path}: loads from elsewhere: {', '.join(loaded)}")


def remote_assets(html: str) -> list[str]:
    """The tags of a page that load a file from another host."""
    return LOADED.findall(html)
