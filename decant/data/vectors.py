"""Read and check externally computed item vectors, for example of images or audio.

A table has a column of items and either one column of lists or any number of numeric columns.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.sources.delimited import Table, read_table, require
from decant.data.sources.files import UnreadableTableError, name_within
from decant.data.sources.layout import Files, separator, vector_tables
from decant.data.tables import CELL_COLUMNS, malformed_ids
from decant.params.data import Ingest

VECTOR = "vector"
MALFORMED = "malformed line"
NO_ITEM, NO_VECTOR = "no item", "no vector"
NOT_FINITE = "not finite numbers"
OTHER_LENGTH = "another length than most"
SECOND = "a second vector of its item"


def read_vectors(
    path: Path, root: Path, name: str, key: str, mark: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One modality's vectors from a delimited or Parquet file.

    Args:
        name: of the modality. key: the column of items. mark: the field separator; None: detected
            from the file.

    Returns:
        `item`, `vector` (float32 arrays of one length); and the skipped rows as unparsed cells
        (table: the modality, column: the reason, value: the item).

    Raises:
        UnreadableTableError, MissingColumnError: the file is not such a table.
    """
    table, file = read_table(path, root, separator=mark, needed=(key,)), name_within(path, root)
    require(table, file, {key: f"ingest.vectors.{name}: {{file: {file}, id: …}}"})
    items = table.ids(key)
    rows = _as_rows(table, key, file)
    reasons = _reasons(items, rows, table.origin)
    good = reasons.isna().to_numpy()
    if not good.any():
        raise UnreadableTableError(file, f"has no valid vector: {_first(reasons)}")
    stacked = np.stack([rows[n] for n in np.flatnonzero(good)]).astype(np.float32)
    kept = pd.DataFrame({Columns.ITEM: items[good].to_numpy(), VECTOR: list(stacked)})
    lost = table.origin.loc[~good, [Columns.FILE, Columns.ROW]].assign(
        table=name, column=reasons[~good], value=items[~good]
    )
    types = {c: "int64" if c == Columns.ROW else "str" for c in CELL_COLUMNS}
    return kept, lost[list(CELL_COLUMNS)].astype(types).reset_index(drop=True)


def read_modalities(
    files: Files, settings: Ingest
) -> tuple[dict[str, pd.DataFrame], list[pd.DataFrame]]:
    """The vectors of every modality of a source by name, and the skipped rows."""
    named = vector_tables(settings)
    keys = {name: named[name].id if name in named else settings.item for name in files.vectors}
    mark = separator(settings)
    read = {
        name: read_vectors(path, files.root, name, keys[name], mark)
        for name, path in files.vectors.items()
    }
    kept = {name: frame for name, (frame, _) in read.items()}
    return kept, [lost for _, lost in read.values()]


def align(kept: pd.DataFrame, items: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in the order of `items`, float64 [N, W], standardised, of unit length.

    Columns are standardised over the items that have a vector; an item without one has zeros.

    Returns:
        The vectors; bool [N], which items have one.
    """
    place = pd.Series(np.arange(len(kept)), index=kept[Columns.ITEM]).reindex(items)
    there = place.notna().to_numpy()
    width = len(kept[VECTOR].iloc[0])
    vectors = np.zeros((len(items), width))
    if there.any():
        known = np.stack(kept[VECTOR].tolist())[place[there].to_numpy(dtype=int)].astype(float)
        spread = known.std(axis=0)
        vectors[there] = (known - known.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0), there


def write_vectors(vectors: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write <name>.parquet for each modality: `item`, `vector` (list of float)."""
    for name, frame in vectors.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)


def _as_rows(table: Table, key: str, file: str) -> list[np.ndarray]:
    """The numbers of each row, float64; NaN for cells that are not numbers."""
    others = table.cells.drop(columns=key)
    if others.shape[1] == 1 and _is_of_lists(others.iloc[:, 0]):
        return [_numbers(cell) for cell in others.iloc[:, 0]]
    texts = [c for c in others if not _is_numeric(others[c])]
    if not others.shape[1] or texts:
        what = f"the column `{texts[0]}` is not numeric" if texts else "has no numeric column"
        problem = f"{what}: expected one column of lists, or only numeric columns"
        raise UnreadableTableError(file, problem)
    numbers = others.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    return list(numbers)


def _is_of_lists(column: pd.Series) -> bool:
    known = column.dropna()
    return len(known) > 0 and all(isinstance(cell, list | tuple | np.ndarray) for cell in known)


def _is_numeric(column: pd.Series) -> bool:
    """Whether a column has numbers, or text of which at least 90 % are numbers."""
    known = column.dropna()
    if isinstance(column.dtype, np.dtype) and column.dtype == object and _is_of_lists(column):
        return False
    return (
        float(pd.to_numeric(known, errors="coerce").notna().mean()) >= 0.9 if len(known) else True
    )


def _numbers(cell: object) -> np.ndarray:
    if not isinstance(cell, list | tuple | np.ndarray):
        return np.zeros(0)
    try:
        return np.asarray(cell, dtype=float).ravel()
    except (TypeError, ValueError):
        return np.full(len(cell), np.nan)


def _reasons(items: pd.Series, rows: list[np.ndarray], origin: pd.DataFrame) -> pd.Series:
    """Why each row is skipped; missing for valid rows."""
    lengths = pd.Series([len(row) for row in rows])
    filled = lengths[lengths > 0]
    usual = int(filled.mode().iloc[0]) if len(filled) else 0
    finite = pd.Series([bool(np.isfinite(row).all()) for row in rows], dtype=bool)
    malformed = malformed_ids(
        pd.concat([items.rename(Columns.ITEM), origin], axis=1), [Columns.ITEM]
    )
    reasons: pd.Series = pd.Series(np.nan, index=items.index, dtype="str")
    checks = (
        (malformed.notna(), MALFORMED),
        (items.isna(), NO_ITEM),
        (lengths == 0, NO_VECTOR),
        (lengths != usual, OTHER_LENGTH),
        (~finite, NOT_FINITE),
    )
    for wrong, reason in checks:
        reasons = reasons.mask(wrong & reasons.isna(), reason)
    again = items.where(reasons.isna()).duplicated() & reasons.isna()
    return reasons.mask(again, SECOND)


def _first(reasons: pd.Series) -> str:
    return str(reasons.iloc[0]) if len(reasons) else "it has no rows"
