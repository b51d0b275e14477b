"""A large memory-mapped array [E, ...] in files of `ROWS` rows each.

Adjacent rows are stored together, so that the rows of a sequence are read at once, and no file is
too large to be copied or verified separately.
"""

from pathlib import Path

import numpy as np

ROWS = 2**18  # per file


class Shards:
    """Rows are read and written by their indices, int [P] → [P, ...]."""

    def __init__(self, files: list[np.ndarray]) -> None:
        self.files = files

    def __len__(self) -> int:
        return sum(map(len, self.files))

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        first = self.files[0]
        values = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for file, inside, chosen in self._apart(rows):
            values[chosen] = file[inside]
        return values

    def __setitem__(self, rows: np.ndarray, values: np.ndarray) -> None:
        for file, inside, chosen in self._apart(rows):
            file[inside] = values[chosen]

    def _apart(self, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Each affected file, its rows, and their positions in `rows`."""
        shard = rows // ROWS
        return [
            (self.files[n], rows[shard == n] - n * ROWS, np.flatnonzero(shard == n))
            for n in np.unique(shard)
        ]

    @property
    def bytes(self) -> int:
        return sum(file.nbytes for file in self.files)


def create(folder: Path, name: str, rows: int, width: tuple[int, ...], dtype: type) -> Shards:
    """Create empty shards, at least one; `name` is the prefix of the file names."""
    parts = [min(ROWS, rows - start) for start in range(0, rows, ROWS)] or [0]
    return Shards(
        [
            np.lib.format.open_memmap(
                folder / f"{name}-{number:05}.npy", mode="w+", dtype=dtype, shape=(part, *width)
            )
            for number, part in enumerate(parts)
        ]
    )


def load(folder: Path, name: str) -> Shards | None:
    """Open shards for reading; None if none have this name."""
    files = sorted(folder.glob(f"{name}-*.npy"))
    shards = [np.load(path, mmap_mode="r", allow_pickle=False) for path in files]
    return Shards(shards) if shards else None
