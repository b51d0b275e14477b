"""Text cells → numbers; unreadable cells become missing and are listed as written."""

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.tables import CELL_COLUMNS, text

NUMERIC_SHARE = 0.9  # a column with at least this share of numbers is a numeric one


def parse_numbers(values: pd.Series) -> pd.Series:
    """Cells as float64; NaN where there is no finite number."""
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def not_numbers(values: pd.Series) -> pd.Series:
    """The present cells that are not numbers."""
    present = values.dropna()
    return present[parse_numbers(present).isna()]


def codes(values: pd.Series) -> pd.Series:
    """The cells that are codes, not amounts: a leading zero (`007`), or a repeated `5+`."""
    others = not_numbers(values)
    repeated = others[others.str.contains(r"\d") & others.duplicated(keep=False)]
    present = values.dropna()
    return pd.concat([repeated, present[present.str.fullmatch(r"0\d+")]])


def looks_numeric(values: pd.Series) -> bool:
    """Whether nearly all present cells are numbers, and none is a code."""
    count, others = int(values.notna().sum()), not_numbers(values)
    nearly_all = count > 0 and count - len(others) >= NUMERIC_SHARE * count
    return nearly_all and not len(codes(values))


def unparsed(
    table: str, column: str, values: pd.Series, parsed: pd.Series, origin: pd.DataFrame
) -> pd.DataFrame:
    """The cells that are present in `values` but missing in `parsed`.

    `origin` has the file and row of each; all three are aligned by position.
    """
    lost = values.notna().to_numpy() & parsed.isna().to_numpy()
    cells = origin.loc[lost, [Columns.FILE, Columns.ROW]].reset_index(drop=True)
    cells = cells.assign(table=table, column=column, value=text(values[lost]).to_numpy())
    return cells[list(CELL_COLUMNS)].astype(
        {c: "int64" if c == Columns.ROW else "str" for c in CELL_COLUMNS}
    )


def most_frequent(keys: pd.Series, values: pd.Series) -> pd.Series:
    """The most frequent value of each key, in order of first appearance; ties go to the first.

    Index: keys. Missing values do not count.
    """
    present = keys.notna() & values.notna()
    pairs = pd.DataFrame({"key": keys[present], "value": values[present]})
    counts = pairs.groupby(["key", "value"], sort=False).size().reset_index(name="count")
    best = counts.loc[counts.groupby("key", sort=False)["count"].idxmax()]
    return pd.Series(best["value"].array, index=pd.Index(best["key"]))
