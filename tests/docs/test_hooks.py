"""No page of the site loads anything from elsewhere."""

from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError

from docs._generate.hooks import on_post_build, remote_assets


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        "<img alt=x src=http://example.org/x.png>",
        '<iframe\nsrc="https://example.org"></iframe>',
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_an_error(tmp_path: Path, tag: str) -> None:
    (tmp_path / "page.html").write_text(f"<p>{tag}</p>")
    with pytest.raises(PluginError, match=r"page\.html: loads from elsewhere"):
        on_post_build({"site_dir": str(tmp_path)})


def test_links_and_own_files_are_allowed() -> None:
    own = '<script src="assets/x.js"></script><link rel="stylesheet" href="x.css"><img src="a.svg">'
    assert remote_assets(own + '<a href="https://example.org">x</a>') == []
