"""Prefect's home: where it is, and how to do without what is damaged there.

Prefect reads its settings when it is imported: that happens here, when they have been looked at.
"""

import os
import re
import sqlite3
import sys
import tempfile
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from decant.files import UnusableError, unusable

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
MISTAKE = 2  # exit status
HOME, PROFILES = "PREFECT_HOME", "PREFECT_PROFILES_PATH"
OWN = Path(".decant/prefect")
SPARE = Path(".decant/prefect-spare")
DATABASE = "prefect.db"
LOCKED = 5.0  # seconds that another process may hold the database
MIGRATIONS = Path("server/database/_migrations/versions/sqlite")
_REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)


def configure_prefect(workspace: Path) -> None:
    """Give Prefect a home in the workspace and keep it quiet, where nothing else was asked for."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if (workspace / "dvc.yaml").is_file():
        os.environ.setdefault(HOME, str(workspace / OWN))
        with suppress(OSError):  # what lies there is looked at below
            (workspace / OWN).parent.mkdir(exist_ok=True)  # Prefect makes the last folder alone
    home = open_home(workspace, Path(os.environ.get(HOME, "~/.prefect")).expanduser())
    leave_out(PROFILES, home / "profiles.toml", read_profiles)
    leave_out("PREFECT_LOGGING_CONFIG_PATH", home / "logging.yml", read_logging)
    import_prefect(Path(os.environ.get(PROFILES) or home / "profiles.toml"))


def open_home(workspace: Path, home: Path) -> Path:
    """A home that may be looked into, since Prefect does so when it is imported: else the spare.

    Raises:
        SystemExit: neither may be.
    """
    closed = forbidden(home)
    if closed is None:
        return home
    spare = workspace / SPARE
    if worse := forbidden(spare):
        print(f"decant: error: {worse}", file=sys.stderr)
        sys.exit(MISTAKE)
    note(f"{closed}; Prefect goes on with {SPARE}")
    os.environ[HOME] = str(spare)
    return spare


def forbidden(home: Path) -> UnusableError | None:
    """Why a home may not be looked into, None if it may or is not there."""
    try:
        os.stat(home / DATABASE)
    except PermissionError as error:
        return unusable(home, error)
    except OSError:
        return None
    return None


def import_prefect(profiles: Path) -> None:
    """Import Prefect; settings that it refuses are the user's mistake.

    Raises:
        SystemExit: it refuses them.
    """
    try:
        import_module("prefect.main")
    except Exception as error:  # of many kinds, by the setting
        why = reason(error).partition(" [type=")[0]
        message = f"Prefect cannot be imported ({why}): see the variables PREFECT_… and {profiles}"
        print(f"decant: error: {message}", file=sys.stderr)
        sys.exit(MISTAKE)


def leave_out(variable: str, usual: Path, read: Callable[[Path], None]) -> None:
    """Have Prefect do without a file that it could not be imported with, and say so."""
    path = Path(os.environ.get(variable) or usual).expanduser()
    try:
        if path.exists():
            read(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        note(f"{path} cannot be used ({reason(error)}): Prefect does without it; move it away")
        os.environ[variable] = f"{path}.left-out"  # is not there, which Prefect takes for none


def read_profiles(path: Path) -> None:
    """Read a file of profiles as Prefect does.

    Raises:
        OSError, ValueError: Prefect could not.
    """
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    profiles = document.get("profiles", {})
    tables = profiles.values() if isinstance(profiles, dict) else [profiles]
    scalars = [value for table in tables if isinstance(table, dict) for value in table.values()]
    if not all(isinstance(table, dict) for table in tables) or not isinstance(
        document.get("active", ""), str
    ):
        raise ValueError("no file of profiles")
    if any(isinstance(value, list | dict) for value in scalars):
        raise ValueError("a setting in it is no single value")


def read_logging(path: Path) -> None:
    """Read a configuration of logging as Prefect does.

    Raises:
        OSError, ValueError, YAMLError: Prefect could not.
    """
    if not isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict):
        raise ValueError("no configuration of logging")


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def note(line: str) -> None:
    """Say something that does not keep a command from going on."""
    print(f"decant: note: {line}", file=sys.stderr, flush=True)


def trouble(home: Path, *, database: bool = True) -> UnusableError | None:
    """Why a server could not work with a home, None if it could; the home is made.

    `database`: it would work with the one that is there, if there is one.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\n")
    except OSError as error:
        return unusable(home, error)
    return database_trouble(home / DATABASE) if database else None


def database_trouble(path: Path) -> UnusableError | None:
    """Why a server could not work with a database, None if it could or would make it."""
    if not path.exists():
        return unusable(path, FileNotFoundError()) if path.is_symlink() else None
    try:
        address = f"{path.resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=LOCKED)) as database:
            why = damage(database) or misfit(database)
    except (sqlite3.Error, OSError) as error:
        why = str(error)
    advice = f"move it away, with {path.name}-wal and {path.name}-shm"
    if why is not None and "locked" in why:
        advice = "end the process that holds it, or move it away"
    return None if why is None else UnusableError(path, why, advice)


def damage(database: sqlite3.Connection) -> str | None:
    """What is wrong with the bytes of a database, or with the right to write it."""
    database.isolation_level = None
    database.execute("BEGIN IMMEDIATE")
    database.execute("CREATE TABLE decant_probe (x)")  # a right to write shows here alone
    database.execute("ROLLBACK")
    row: Any = database.execute("PRAGMA quick_check(1)").fetchone()
    return None if row == ("ok",) else " ".join(str(row[0]).split())


def misfit(database: sqlite3.Connection) -> str | None:
    """Whether a database is none of Prefect's, or of a later version of it."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        return "it is no database of Prefect" if tables else None
    known = revisions()
    here = {revision for (revision,) in database.execute("SELECT version_num FROM alembic_version")}
    if known and here - known:
        return "a later version of Prefect made it"
    return None


def revisions() -> set[str]:
    """The states of a database that the installed Prefect knows; empty if it does not tell."""
    spec = find_spec("prefect")
    folders = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or []]
    files = [path for folder in folders for path in (folder / MIGRATIONS).glob("*.py")]
    return {name for path in files for name in _REVISION.findall(path.read_text(encoding="utf-8"))}


def usable(root: Path, home: Path, *, database: bool = True) -> tuple[Path, UnusableError | None]:
    """A home that a run can work with: that one, else a spare one; why not that one.

    Raises:
        UnusableError: neither.
    """
    first = trouble(home, database=database)
    if first is None:
        return home, None
    spare = root / SPARE
    second = trouble(spare)
    if second is not None:
        raise second
    return spare, first
