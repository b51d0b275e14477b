"""Small pieces of HTML: all text is escaped here, and nowhere else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True)
class Raw:
    """Markup that is written as it is; everything else is text."""

    markup: str


Cells = list[Raw | str]


@dataclass(frozen=True)
class Block:
    """Rows of a table that belong together, under a heading that spans all columns."""

    heading: Raw | str | None
    rows: list[Cells]
    classes: list[str] = field(default_factory=list)


def text(content: Raw | str) -> str:
    """Content as markup."""
    return content.markup if isinstance(content, Raw) else escape(content)


def tag(name: str, content: Raw | str = "", **attributes: str) -> Raw:
    """One element; `class_` is the attribute `class`, `aria_label` is `aria-label`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Raw(f"<{name}{given}>{text(content)}</{name}>")


def join(parts: Iterable[Raw | str], between: str = "") -> Raw:
    """Pieces one after another."""
    return Raw(between.join(text(part) for part in parts))


def paragraph(*parts: Raw | str, class_: str = "") -> Raw:
    """A paragraph."""
    return tag("p", join(parts), **({"class_": class_} if class_ else {}))


def code(content: str) -> Raw:
    """A name or a rule, as it is typed."""
    return tag("code", content)


def section(name: str, heading: str, *parts: Raw) -> Raw:
    """A part of the page with its heading; `name` is what a link points at."""
    title = tag("h2", heading, id=f"{name}-heading")
    content = join([title, *parts], "\n")
    return tag("section", content, id=name, aria_labelledby=f"{name}-heading")


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Block] | Sequence[Cells],
    kinds: str = "",
) -> Raw:
    """A table that scrolls sideways where the page is narrow.

    Args:
        columns: headings. rows: cells by row, or blocks of them; the first cell is a heading.
        kinds: a letter per column, `w` for words and `n` for numbers, which are set right; words
            in the first column and numbers in the others if it is left out.
    """
    blocks = [row for row in rows if isinstance(row, Block)]
    loose = [row for row in rows if not isinstance(row, Block)]
    if loose:
        blocks.append(Block(None, loose))
    letters = kinds or "w" + "n" * (len(columns) - 1)
    classes = [{"w": "word", "n": "number"}[letter] for letter in letters]
    head = join(
        tag("th", name, scope="col", class_=kind)
        for name, kind in zip(columns, classes, strict=True)
    )
    body = join((_block(block, classes) for block in blocks), "\n")
    inner = join([tag("caption", caption), tag("thead", tag("tr", head)), body], "\n")
    return tag(
        "div", tag("table", inner), class_="scroll", tabindex="0", role="region", aria_label=caption
    )


def _block(block: Block, kinds: list[str]) -> Raw:
    rows = []
    if block.heading is not None:
        heading = tag("th", tag("span", block.heading), scope="rowgroup", colspan=str(len(kinds)))
        rows.append(tag("tr", heading, class_="group"))
    for number, row in enumerate(block.rows):
        assert len(row) == len(kinds), (row, kinds)
        first = tag("th", row[0], scope="row", class_=kinds[0])
        rest = [tag("td", c, class_=k) for c, k in zip(row[1:], kinds[1:], strict=True)]
        name = block.classes[number] if number < len(block.classes) else ""
        rows.append(tag("tr", join([first, *rest]), **({"class_": name} if name else {})))
    return tag("tbody", join(rows, "\n"))
