"""The templates' style: light and dark, wide and narrow, on paper; and that they are shipped."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import decant.report

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = Path(decant.report.__file__).parent / "templates"
CSS = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in ("picture.css", "page.css"))
DARK = r"@media screen and \(prefers-color-scheme: dark\) \{(.*?)\n\}"


def colours(theme: str) -> dict[str, str]:
    """Colours by name; every variable that is defined in both themes."""
    dark = " ".join(re.findall(DARK, CSS, re.DOTALL))
    style = dark if theme == "dark" else re.sub(DARK, "", CSS, flags=re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#\w{6})", style))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def rules(selector: str, css: str = CSS) -> str:
    """All declarations of a selector."""
    blocks = re.findall(rf"(?:^|\n|,) *{re.escape(selector)} \{{([^}}]*)\}}", css)
    return " ".join(" ".join(blocks).split())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background(theme: str) -> None:
    named = colours(theme)
    pairs = [("ink", "page"), ("ink", "raised"), ("soft", "page"), ("soft", "raised")]
    pairs += [("good", "good-page"), ("bad", "bad-page"), ("ink", "good-page")]
    pairs += [("ink", "bad-page"), ("link", "page"), ("good", "page"), ("bad", "page")]
    pairs += [(f"c{number}", "page") for number in range(8)]
    for text, behind in pairs:
        assert contrast(named[text], named[behind]) >= 4.5, (text, behind)


def test_both_themes_define_the_same_colours_and_the_rules_use_no_other() -> None:
    light, dark = colours("light"), colours("dark")
    assert set(light) == set(dark) and light["page"] != dark["page"]
    assert set(re.findall(r"var\(--([\w-]+)\)", CSS)) <= set(light)
    assert CSS.count("{") == CSS.count("}")


def test_paper_is_never_dark() -> None:
    assert CSS.count("prefers-color-scheme") == len(re.findall(DARK, CSS, re.DOTALL)) == 2


def test_wide_content_scrolls_in_its_frame_and_never_the_page() -> None:
    assert "overflow-x: auto" in rules(".scroll")
    assert "overflow-wrap: anywhere" in rules("body")
    assert "width: 100%" in rules(".picture")
    for name in FOLDER.glob("*.html"):
        text = name.read_text(encoding="utf-8")
        assert "<table" not in text or name.name == "macros.html", name
    macro = (FOLDER / "macros.html").read_text(encoding="utf-8")
    assert re.search(r'<div class="scroll" tabindex="0" role="region"[^>]*>\n<table>', macro)


def test_a_narrow_page_has_one_column_of_facts_and_two_of_tiles() -> None:
    narrow = CSS[CSS.index("@media (max-width: 40rem)") : CSS.index("@media print")]
    assert "grid-template-columns: 1fr;" in rules(".facts", narrow)
    assert "grid-template-columns: 1fr 1fr;" in rules(".tiles", narrow)


def test_no_template_trusts_what_it_shows() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape", text), path


def test_every_template_is_in_the_wheel_and_reruns_the_stage() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["decant.report"]
    for path in FOLDER.iterdir():
        assert any(fnmatch(f"templates/{path.name}", pattern) for pattern in patterns), path
    stage = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert FOLDER.relative_to(REPOSITORY).as_posix() in stage["report"]["deps"]
