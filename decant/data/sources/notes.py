"""Decisions made while reading tables, counted, one line each."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import pandas as pd

from decant.columns import Columns
from decant.data.tables import text

SHOWN = 3  # different values in one line


@dataclass
class Notes:
    """`missing`: counts of missing cells by `table.column` and spelling; `lines`: other notes."""

    missing: dict[str, Counter[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    _respelt: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, *lines: str) -> None:
        """Add lines, each only once."""
        self.lines += [line for line in dict.fromkeys(lines) if line not in self.lines]

    def take_missing(self, name: str, values: pd.Series, spellings: Collection[str]) -> pd.Series:
        """Replace spellings of a missing value in the cells of `table.column`, and count them."""
        written = text(values)
        spelt = written.isin(list(spellings))
        if not spelt.any():
            return values
        self.missing.setdefault(name, Counter()).update(written[spelt].tolist())
        return values.mask(spelt)

    def compare_ids(self, name: str, written: pd.Series, ids: pd.Series) -> None:
        """Count ids changed by normalisation, such as `12.0` or other Unicode forms."""
        if not pd.api.types.is_string_dtype(written):
            return
        stripped = written.str.strip()
        other = stripped.notna() & ids.notna() & stripped.ne(ids)
        if other.any():
            count, example = self._respelt.get(name, (0, ""))
            first = ascii(stripped[other].iloc[0])[1:-1]
            self._respelt[name] = (count + int(other.sum()), example or first)

    def all(self) -> tuple[str, ...]:
        """All lines."""
        return (*self.lines, *self._of_missing(), *self._of_ids())

    def _of_missing(self) -> list[str]:
        return [
            f"{name}: {spellings.total():,} {_cells(spellings.total())} taken as missing "
            f"({most_common(spellings)}; ingest.missing lists these spellings)"
            for name, spellings in self.missing.items()
        ]

    def _of_ids(self) -> list[str]:
        lines = []
        for name, (count, example) in self._respelt.items():
            shown = "" if name.endswith(f".{Columns.USER}") else f", such as `{example}`"
            lines.append(
                f"{name}: {count:,} {_cells(count)} normalised to the canonical form of "
                f"an id{shown} (12.0 is 12; one Unicode form, no invisible characters)"
            )
        return lines


def most_common(counts: Counter[str]) -> str:
    """The most frequent values with their counts."""
    more = len(counts) - SHOWN
    shown = ", ".join(f"`{value}` {count:,}" for value, count in counts.most_common(SHOWN))
    return shown + (f" and {more} more" if more > 0 else "")


def _cells(count: int) -> str:
    return "cell" if count == 1 else "cells"
