"""Delimited text line by line: slower than pandas, but every line is accounted for.

A cell may contain line breaks if it is quoted as in RFC 4180. A stray quotation mark would swallow
all lines up to the next one: its line is malformed, and reading resumes with the next line. If a
quotation could be either, all its lines are malformed.
"""

import csv
import itertools
from collections.abc import Iterator, Sequence

STRAY = "a quotation mark that is not closed in the line"
AMBIGUOUS = "inside a quotation over several lines that could each be a row"
TOO_LONG = f"a cell of more than {csv.field_size_limit():,} characters, a stray quotation mark?"


def read_records(
    lines: Sequence[str], separator: str, width: int
) -> Iterator[tuple[int, list[str], str | None]]:
    """Each record: its first line, from 1; its `width` cells; the problem or None.

    Short lines are padded. Each line of a malformed record becomes a record of empty cells.
    """
    at = 0
    while at < len(lines):
        fields, size, problem = _record(lines, at, separator, width)
        if problem is None:
            yield at + 1, fields + [""] * (width - len(fields)), None
        else:
            yield from ((line + 1, [""] * width, problem) for line in range(at, at + size))
        at += size


def miscounted(fields: int, width: int) -> str:
    """The problem of a line with a wrong number of fields."""
    return f"{fields} fields in a line instead of {width}"


def _record(
    lines: Sequence[str], at: int, separator: str, width: int
) -> tuple[list[str], int, str | None]:
    """The record that begins at index `at`: its cells, its number of lines, the problem."""
    rest = (lines[i] for i in range(at, len(lines)))
    # an extra line at the end, so that a quotation still open there is seen to continue
    reader = csv.reader(itertools.chain(rest, [""]), delimiter=separator)
    try:
        fields = next(reader)
    except csv.Error:  # the only possible one: a cell beyond the size limit
        return [], 1, TOO_LONG
    size = reader.line_num
    if size > 1:
        block = lines[at : at + size]
        if not _ends_well(block, separator, width):
            return [], 1, STRAY
        if all(line.count(separator) == width - 1 for line in block):
            return [], size, AMBIGUOUS
    if len(fields) > width:
        return [], size, miscounted(len(fields), width)
    return fields, size, None


def _ends_well(block: Sequence[str], separator: str, width: int) -> bool:
    """Whether lines are one record of `width` cells with all quotations properly closed."""
    try:
        return len(next(csv.reader(block, delimiter=separator, strict=True))) == width
    except csv.Error:
        return False
