"""Prefect's home: where it is, and how to run without the damaged files in it.

Prefect reads its settings on import, so it is imported here after they have been checked.
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
LOCKED = 5.0  # seconds to wait for another process that holds the database
MIGRATIONS = Path("server/database/_migrations/versions/sqlite")
_REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)


def configure_prefect(workspace: Path) -> None:
    """Give Prefect a home in the workspace and disable its telemetry, unless set otherwise."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if (workspace / "dvc.yaml").is_file():
        os.environ.setdefault(HOME, str(workspace / OWN))
        with suppress(OSError):  # the content is checked below
            (workspace / OWN).parent.mkdir(exist_ok=True)  # Prefect creates only the last folder
    home = open_home(workspace, Path(os.environ.get(HOME, "~/.prefect")).expanduser())
    leave_out(PROFILES, home / "profiles.toml", read_profiles)
    leave_out("PREFECT_LOGGING_CONFIG_PATH", home / "logging.yml", read_logging)
    import_prefect(Path(os.environ.get(PROFILES) or home / "profiles.toml"))


def open_home(workspace: Path, home: Path) -> Path:
    """Return `home` if it can be read, as Prefect does on import; else the spare home.

    Raises:
        SystemExit: neither can be read.
    """
    closed = forbidden(home)
    if closed is None:
        return home
    spare = workspace / SPARE
    if worse := forbidden(spare):
        print(f"decant: error: {worse}", file=sys.stderr)
        sys.exit(MISTAKE)
    note(f"{closed}; Prefect uses {SPARE} instead")
    os.environ[HOME] = str(spare)
    return spare


def forbidden(home: Path) -> UnusableError | None:
    """Why a home cannot be read; None if it can, or does not exist."""
    try:
        os.stat(home / DATABASE)
    except PermissionError as error:
        return unusable(home, error)
    except OSError:
        return None
    return None


def import_prefect(profiles: Path) -> None:
    """Import Prefect; settings it rejects are reported as a user error.

    Raises:
        SystemExit: Prefect rejects its settings.
    """
    try:
        import_module("prefect.main")
    except Exception as error:  # the type depends on the setting
        why = reason(error).partition(" [type=")[0]
        message = (
            f"Prefect cannot be imported ({why}): check the PREFECT_… variables and {profiles}"
        )
        print(f"decant: error: {message}", file=sys.stderr)
        sys.exit(MISTAKE)


def leave_out(variable: str, usual: Path, read: Callable[[Path], None]) -> None:
    """Make Prefect ignore a file that would break its import, with a note."""
    path = Path(os.environ.get(variable) or usual).expanduser()
    try:
        if path.exists():
            read(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        note(f"{path} cannot be used ({reason(error)}): Prefect ignores it; move it away")
        os.environ[variable] = f"{path}.left-out"  # a missing file counts as none


def read_profiles(path: Path) -> None:
    """Check that Prefect can read a profiles file.

    Raises:
        OSError, ValueError: it cannot.
    """
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    profiles = document.get("profiles", {})
    tables = profiles.values() if isinstance(profiles, dict) else [profiles]
    scalars = [value for table in tables if isinstance(table, dict) for value in table.values()]
    if not all(isinstance(table, dict) for table in tables) or not isinstance(
        document.get("active", ""), str
    ):
        raise ValueError("not a profiles file")
    if any(isinstance(value, list | dict) for value in scalars):
        raise ValueError("a setting has several values")


def read_logging(path: Path) -> None:
    """Check that Prefect can read a logging configuration.

    Raises:
        OSError, ValueError, YAMLError: it cannot.
    """
    if not isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict):
        raise ValueError("not a logging configuration")


def reason(error: Exception) -> str:
    """The message of an error, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()) or type(error).__name__


def note(line: str) -> None:
    """Print a note that does not stop the command."""
    print(f"decant: note: {line}", file=sys.stderr, flush=True)


def trouble(home: Path, *, database: bool = True) -> UnusableError | None:
    """Why a server could not use a home, None if it could; creates the home.

    `database`: check the database in the home too, if there is one.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\n")
    except OSError as error:
        return unusable(home, error)
    return database_trouble(home / DATABASE) if database else None


def database_trouble(path: Path) -> UnusableError | None:
    """Why a server could not use a database; None if it could, or would create it."""
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
    """Why a database is corrupt or not writable, None if neither."""
    database.isolation_level = None
    database.execute("BEGIN IMMEDIATE")
    database.execute("CREATE TABLE decant_probe (x)")  # fails without write permission
    database.execute("ROLLBACK")
    row: Any = database.execute("PRAGMA quick_check(1)").fetchone()
    return None if row == ("ok",) else " ".join(str(row[0]).split())


def misfit(database: sqlite3.Connection) -> str | None:
    """Why a database does not fit: not Prefect's, or of a later version; None if it fits."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        return "it is not a Prefect database" if tables else None
    known = revisions()
    here = {revision for (revision,) in database.execute("SELECT version_num FROM alembic_version")}
    if known and here - known:
        return "a later version of Prefect made it"
    return None


def revisions() -> set[str]:
    """Database revisions the installed Prefect knows; empty if they cannot be read."""
    spec = find_spec("prefect")
    folders = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or []]
    files = [path for folder in folders for path in (folder / MIGRATIONS).glob("*.py")]
    return {name for path in files for name in _REVISION.findall(path.read_text(encoding="utf-8"))}


def usable(root: Path, home: Path, *, database: bool = True) -> tuple[Path, UnusableError | None]:
    """Return a usable home, `home` or else the spare, and why `home` is not usable.

    Raises:
        UnusableError: neither is usable.
    """
    first = trouble(home, database=database)
    if first is None:
        return home, None
    spare = root / SPARE
    second = trouble(spare)
    if second is not None:
        raise second
    return spare, first
