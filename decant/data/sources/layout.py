"""The files of each source; raises MissingFilesError if some are missing."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from decant.params.data import DELIMITERS, Ingest
from decant.params.types import IMAGE
from decant.suggest import MANY, suggest

DEMO_IMAGES = "images.parquet"
DEMO_LOGS = ("views.csv", "carts.csv", "purchases.csv")
MOVIELENS_1M_LOGS = ("ratings.dat", "sequences.csv", "ml-1m.txt")  # the first that exists
_FIXED = {
    "demo": (*DEMO_LOGS, "users.csv", "items.csv"),
    "movielens-100k": ("u.data", "u.user", "u.item", "u.genre"),
}
_FETCHED = ("movielens-100k", "movielens-1m")
SHOWN_FILES = 8  # in one message


class MissingFilesError(ValueError):
    """Files of a source are missing; the message says what to do."""

    def __init__(self, source: str, folder: Path, missing: list[str]) -> None:
        self.source, self.folder, self.missing = source, folder, missing
        super().__init__(
            f"{folder}: {'; '.join(missing)}: {_what_to_do(source)}"
            if folder.exists()
            else f"{folder}: no such folder, looked for {'; '.join(missing)}: {_what_to_do(source)}"
        )


@dataclass(frozen=True)
class Files:
    """The files of a source; their names are relative to `root`."""

    root: Path
    events: tuple[Path, ...]
    users: Path | None = None
    items: Path | None = None
    vectors: Mapping[str, Path] = field(default_factory=dict)


def required_files(source: str, settings: Ingest | None = None) -> list[str]:
    """Names or patterns of the files of a source, for messages; `a or b` is a choice."""
    settings = settings or Ingest()
    if source in _FIXED:
        return list(_FIXED[source])
    if source == "movielens-1m":
        return [
            "ratings.dat or sequences.csv (each with users.dat and movies.dat) or ml-1m.txt",
        ]
    if source == "online-retail":
        return ["*.csv or by-day/*.csv"]
    assert source == "files", source
    return [pattern for pattern in _own_patterns(settings).values() if pattern]


def check_present(source: str, folder: Path, settings: Ingest | None = None) -> Files:
    """The files of a source within `folder` (for online-retail also a single CSV file).

    Raises:
        MissingFilesError: one or more files are missing; the message lists them.
    """
    settings = settings or Ingest()
    if not folder.exists():
        raise MissingFilesError(source, folder, required_files(source, settings))
    if folder.is_file() and source != "online-retail":
        raise MissingFilesError(source, folder, ["this is a file: give its folder"])
    if source == "movielens-1m":
        return _movielens_1m(folder)
    if source == "online-retail":
        return _online_retail(folder)
    if source == "files":
        return _own_files(folder, settings)
    _demand(source, folder, _FIXED[source])
    if source == "movielens-100k":
        return Files(folder, (folder / "u.data",), folder / "u.user", folder / "u.item")
    logs = tuple(folder / name for name in DEMO_LOGS)
    images = folder / DEMO_IMAGES  # an older demo shop has none
    vectors = {IMAGE: images} if images.is_file() else {}
    return Files(folder, logs, folder / "users.csv", folder / "items.csv", vectors)


def _movielens_1m(folder: Path) -> Files:
    logs = [name for name in MOVIELENS_1M_LOGS if (folder / name).is_file()]
    if not logs:
        missing = f"none of {', '.join(MOVIELENS_1M_LOGS)} exists"
        raise MissingFilesError("movielens-1m", folder, [missing])
    log = logs[0]
    if log == "ml-1m.txt":  # its ids are not those of users.dat and movies.dat
        return Files(folder, (folder / log,))
    _demand("movielens-1m", folder, ("users.dat", "movies.dat"))
    return Files(folder, (folder / log,), folder / "users.dat", folder / "movies.dat")


def _online_retail(folder: Path) -> Files:
    if folder.is_file():
        return Files(folder.parent, (folder,))
    for pattern in ("*.csv", "by-day/*.csv"):
        if files := in_natural_order(folder.glob(pattern)):
            return Files(folder, files)
    raise MissingFilesError("online-retail", folder, ["no *.csv or by-day/*.csv"])


def _own_patterns(settings: Ingest) -> dict[str, str | None]:
    """Setting → the file or pattern it names."""
    users, items = users_table(settings), items_table(settings)
    vectors = vector_tables(settings).items()
    return {
        "events": settings.events,
        "users": users.file if users else None,
        "items": items.file if items else None,
        **{f"vectors.{name}": table.file for name, table in vectors},
    }


def _own_files(folder: Path, settings: Ingest) -> Files:
    files: dict[str, tuple[Path, ...]] = {}
    missing = []
    for key, pattern in _own_patterns(settings).items():
        if pattern is None:
            continue
        files[key] = _matches(folder, pattern)
        if not files[key]:
            missing.append(f"no file `{pattern}` (ingest.{key}); {_hint(folder, pattern)}")
        elif key != "events" and len(files[key]) > 1:
            missing.append(
                f"ingest.{key} `{pattern}` matches {len(files[key])} files, expected one"
            )
    if missing:
        raise MissingFilesError("files", folder, missing)
    one = {key: paths[0] for key, paths in files.items()}
    vectors = {name: one[f"vectors.{name}"] for name in settings.vectors}
    return Files(folder, files["events"], one.get("users"), one.get("items"), vectors)


def _matches(folder: Path, pattern: str) -> tuple[Path, ...]:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return ()
    try:
        return in_natural_order(file for file in folder.glob(pattern) if file.is_file())
    except ValueError:  # `**` next to other characters is an invalid pattern
        return ()


def in_natural_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Sort paths by the numbers in their names: events-2 before events-10."""
    return tuple(sorted(paths, key=_natural))


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"([0-9]+)", path.as_posix())
    key = [(1, int(p), "") if n % 2 else (0, 0, p) for n, p in enumerate(parts)]
    return key, path.as_posix()


def _hint(folder: Path, pattern: str) -> str:
    there = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if not there:
        return "the folder is empty"
    return suggest(pattern, there, "files", searched=MANY, listed=SHOWN_FILES)


def _demand(source: str, folder: Path, names: tuple[str, ...]) -> None:
    missing = [f"no file `{name}`" for name in names if not (folder / name).is_file()]
    if missing:
        raise MissingFilesError(source, folder, missing)


def _what_to_do(source: str) -> str:
    if source == "demo":
        return "`make run` generates the demo shop"
    give = f"`make run SOURCE={source} FROM=folder` reads them from a folder"
    if source in _FETCHED:
        return f"`decant fetch {source}` downloads them, {give}"
    return f"{give}, and `ingest` in params.yaml names them" if source == "files" else give


@dataclass(frozen=True)
class OwnTable:
    """A table: its file, and its column names of ids and titles (items only)."""

    file: str
    id: str
    title: str | None = None


def users_table(settings: Ingest) -> OwnTable | None:
    """The table of users, None if not configured."""
    given = settings.users
    return None if given is None else OwnTable(given.file, given.id or settings.user)


def items_table(settings: Ingest) -> OwnTable | None:
    """The table of items, None if not configured."""
    given = settings.items
    if given is None:
        return None
    return OwnTable(given.file, given.id or settings.item, given.title or settings.item_title)


def vector_tables(settings: Ingest) -> dict[str, OwnTable]:
    """The tables of item vectors, by modality."""
    return {
        name: OwnTable(given.file, given.id or settings.item)
        for name, given in settings.vectors.items()
    }


def separator(settings: Ingest) -> str | None:
    """The field separator of every file; None: detected per file."""
    given = settings.delimiter
    return None if given is None else DELIMITERS.get(given, given)
