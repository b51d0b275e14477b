"""Delimited text line by line: slower than pandas, and every line is accounted for.

A cell may hold line breaks if it is quoted as RFC 4180 says. A quotation mark that is merely stray
would swallow all lines up to the next one: its line is malformed, and the next line is read anew.
Where both could be meant, all lines of the quotation are malformed.
"""

import csv
import itertools
from collections.abc import Iterator, Sequence

STRAY = "a quotation mark that is not closed in the line"
AMBIGUOUS = "in a quotation over lines of which each could be a row"
TOO_LONG = f"a cell of more than {csv.field_size_limit():,} characters, a stray quotation mark?"


def read_records(
    lines: Sequence[str], separator: str, width: int
) -> Iterator[tuple[int, list[str], str | None]]:
    """Each record: the line it begins in, from 1; its `width` cells; what is wrong with it.

    Short lines are filled up. Each line of a malformed record is a record of empty cells.
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
    """What is wrong with a line that has another number of fields than it should."""
    return f"{fields} fields in a line instead of {width}"


def _record(
    lines: Sequence[str], at: int, separator: str, width: int
) -> tuple[list[str], int, str | None]:
    """The record that begins at index `at`: its cells, how many lines it has, what is wrong."""
    rest = (lines[i] for i in range(at, len(lines)))
    # the last line gets one behind it, so that a quotation open at the end is seen to run on
    reader = csv.reader(itertools.chain(rest, [""]), delimiter=separator)
    try:
        fields = next(reader)
    except csv.Error:  # there is but one: a cell beyond the limit
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
    """Whether lines are one record of `width` cells whose quotations end before a separator."""
    try:
        return len(next(csv.reader(block, delimiter=separator, strict=True))) == width
    except csv.Error:
        return False
