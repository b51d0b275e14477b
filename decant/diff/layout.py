"""Sections of lines and tables, as aligned text or as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field

LEFT, RIGHT = "l", "r"
GAP = "  "


@dataclass(frozen=True)
class Section:
    """A heading with a table, lines below it, or both; `kinds`: `l` or `r` for each column."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    kinds: str = ""
    lines: Sequence[str] = field(default_factory=list)


def as_text(sections: Sequence[Section]) -> str:
    """Sections for a terminal: columns aligned by spaces."""
    return "\n\n".join("\n".join(_text(section)) for section in sections)


def as_markdown(sections: Sequence[Section]) -> str:
    """Sections for a merge request."""
    return "\n\n".join("\n".join(_markdown(section)) for section in sections)


def _text(section: Section) -> list[str]:
    if not section.rows:
        return [section.title, *(f"{GAP}{plain(line)}" for line in section.lines)]
    table = [[section.title, *section.head[1:]], *([plain(c) for c in r] for r in section.rows)]
    table[1:] = [[f"{GAP}{row[0]}", *row[1:]] for row in table[1:]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    shown = [
        GAP.join(
            cell.rjust(width) if kind == RIGHT else cell.ljust(width)
            for cell, width, kind in zip(row, widths, section.kinds, strict=True)
        ).rstrip()
        for row in table
    ]
    return [*shown, *(f"{GAP}{plain(line)}" for line in section.lines)]


def _markdown(section: Section) -> list[str]:
    lines = [f"- {_escaped(line)}" for line in section.lines]
    if not section.rows:
        return [f"### {section.title}", "", *lines]
    rule = ["--:" if kind == RIGHT else "---" for kind in section.kinds]
    table = [_row(section.head), f"|{'|'.join(rule)}|", *map(_row, section.rows)]
    return [f"### {section.title}", "", *table, *(["", *lines] if lines else [])]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    escaped = plain(text)
    for mark in ("\\", "|", "<", "*"):
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped


def plain(text: str) -> str:
    """Text without control characters."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)
