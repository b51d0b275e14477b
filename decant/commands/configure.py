"""`decant configure`: set up the project for a data source.

Copies the source's files into data/raw, writes the source and its preset into params.yaml and
shows the difference. DVC tracks params.yaml, and would not see settings in the environment.
"""

import argparse
import difflib
import filecmp
import os
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from decant.commands.parser import add_command
from decant.commands.presets import (
    PRESET_GROUPS,
    changes_of,
    choose_groups,
    overlaid,
    read_preset,
    remember_groups,
    remember_own,
)
from decant.commands.proposals import habits, propose
from decant.commands.protocol import NONE, check_data, check_settings, choose_protocol
from decant.data.membership import check_rules
from decant.data.sources.layout import Files, check_present, required_files
from decant.data.sources.notes import Notes
from decant.data.sources.own_files import read_users
from decant.lock import locked
from decant.params.data import Ingest
from decant.params.edit import Settings, replace, rewrite
from decant.params.effects import warnings_in
from decant.params.load import Params, load_params, parse_params
from decant.params.types import MOVIELENS_1M, OWN, PROTOCOLS, SOURCES
from decant.params.upgrade import settings_in_graph, upgrade
from decant.suggest import suggest

DEMO = "demo"
BLOCK_SIZE = 1 << 20  # bytes copied at a time
SHOWN = 5  # names of files in one message
OPTIONS = ("source", "origin", "profile", "protocol", "groups")


class ConfigureError(ValueError):
    """The project cannot be set up as requested; the message says why."""


def configure(
    root: Path,
    source: str,
    origin: Path | None = None,
    profile: str | None = None,
    protocol: str | None = None,
    groups: str | None = None,
) -> list[str]:
    """Set up `root` for `source`; return the unified diff of params.yaml, empty if unchanged.

    Args:
        origin: folder (or file) to copy the source's files from; None: use those in place.
        profile: one of the source's preset; None: quick for a new source, else unchanged settings.
        protocol: p1 or none; None: none for a new source, else unchanged.
        groups: a name in the preset's `groups`, or `preset` for its students (of own tables: the
            user's); None: `preset` for a new source, else unchanged.

    Raises:
        ConfigureError, MissingFilesError, ParamsError: source, files, profile or settings are
            invalid.
        PresetError: the preset has no such groups.
        ProtocolError, OtherDataError: source, settings or data do not fit the protocol.
        EditError: the layout of params.yaml cannot be edited.
        RuleError: a segment's rule does not parse.
    """
    source = one_of(source, SOURCES, "source")
    preset = read_preset(root, source)
    if profile is not None:
        profile = one_of(profile, list(preset["profiles"]), "profile")
    path = root / "params.yaml"
    params = load_params(path)
    groups = choose_groups(groups, source, profile, params, preset)
    protocol = choose_protocol(protocol, source, params)
    if protocol is not None and (origin is not None or protocol != params.ingest.protocol):
        check_data(source, origin or root / "data" / "raw" / source, protocol)
    files = prepare_files(root, source, origin, params.ingest)
    before = path.read_text(encoding="utf-8")
    without_users = files is not None and files.users is None and protocol is None
    changes, replaced = changes_of(
        root, source, profile, groups, params, preset, without_users=without_users
    )
    if source == OWN and files is not None and "features" in changes:
        changes = fitted(changes, files, params.ingest)
    if protocol != params.ingest.protocol:
        changes["ingest"] = {"protocol": protocol}
    after = rewrite(before, changes, path)
    after = upgrade(after, settings_in_graph(root / "dvc.yaml"), path)
    wanted = parse_params(yaml.safe_load(after), path)
    check_settings(wanted, files)
    check(wanted, files)
    if params.source == OWN and source != OWN:
        remember_own(root, before)
    if source == OWN and groups not in (None, PRESET_GROUPS):
        remember_groups(root, replaced, preset)
    if after != before:
        replace(path, after)
    return unified(before, after)


def fitted(changes: Settings, files: Files, ingest: Ingest) -> Settings:
    """The preset's settings, with those that fit the user's own events; says why.

    Where the events cannot be read, the preset's stay; the run will say what to do.
    """
    try:
        settings, lines = propose(habits(files, ingest))
    except ValueError as error:
        problem = " ".join(str(error).split())
        print(f"note: settings are not fitted to the events: {problem}", file=sys.stderr)
        return changes
    for line in lines:
        print(line)
    return overlaid(changes, settings)


def upgrade_settings(root: Path) -> list[str]:
    """Bring params.yaml of an earlier version up to date; return the unified diff.

    Raises:
        ParamsError: params.yaml is invalid even with the current names; it is left unchanged.
        EditError: its layout cannot be edited.
    """
    path = root / "params.yaml"
    before = path.read_text(encoding="utf-8")
    after = upgrade(before, settings_in_graph(root / "dvc.yaml"), path)
    if after != before:
        replace(path, after)
    return unified(before, after)


def unified(before: str, after: str) -> list[str]:
    """The unified diff of two texts of params.yaml."""
    old, new = before.splitlines(), after.splitlines()
    return list(difflib.unified_diff(old, new, "params.yaml before", "params.yaml", lineterm=""))


def check(params: Params, files: Files | None) -> None:
    """Check the segment rules now, rather than some stages into a run.

    For own tables, also reports values that no user has.
    """
    users = None
    if params.source == OWN and files is not None and files.users is not None:
        users, _ = read_users(files.users, files.root, params.ingest, Notes())
    for line in check_rules(
        params.segments, params.ingest.missing, users, params.distill.taste_groups
    ):
        print(f"note: {line}", file=sys.stderr)


def prepare_files(root: Path, source: str, origin: Path | None, settings: Ingest) -> Files | None:
    """Copy the source's files into data/raw/<source>, or check that they exist.

    Returns:
        The files; None for the demo shop, which generates its own.
    """
    folder = root / "data" / "raw" / source
    if source == DEMO:
        if origin is not None:
            raise ConfigureError("the demo shop generates its own files: omit FROM")
        return None
    if origin is None:
        return check_present(source, folder, settings)
    files = check_present(source, origin, settings)
    wanted = wanted_files(source, files, settings)
    copied = copy_files(files, wanted, folder)
    same = f", {len(wanted) - copied} unchanged" if copied < len(wanted) else ""
    print(f"{folder.relative_to(root)}: {copied} file{'s' * (copied != 1)} copied{same}")
    if files.root.resolve() != folder.resolve():
        remove_others(folder, {folder / path.relative_to(files.root) for path in wanted})
    return check_present(source, folder, settings)


def wanted_files(source: str, files: Files, settings: Ingest) -> list[Path]:
    """List the files of a source, without duplicates."""
    named = [files.root / name for name in required_files(source, settings)]
    listed = [
        *files.events,
        files.users,
        files.items,
        *files.vectors.values(),
        *(p for p in named if p.is_file()),
    ]
    return list(dict.fromkeys(path for path in listed if path is not None))


def copy_files(files: Files, wanted: Sequence[Path], folder: Path) -> int:
    """Copy files, keeping their paths below `files.root`; skip identical ones.

    Returns:
        The number of copied files.
    """
    pairs = [(path, folder / path.relative_to(files.root)) for path in wanted]
    new = [(a, b) for a, b in pairs if not (b.is_file() and filecmp.cmp(a, b, shallow=False))]
    total = sum(path.stat().st_size for path, _ in new)
    with tqdm(total=total, unit="B", unit_scale=True, desc="copying", disable=not new) as bar:
        for path, target in new:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(path, target, bar)
    return len(new)


def remove_others(folder: Path, wanted: Set[Path]) -> None:
    """Remove files of an earlier `configure` that the source no longer has."""
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path not in wanted)
    for path in others:
        path.unlink()
    if others:
        names = ", ".join(str(path.relative_to(folder)) for path in others[:SHOWN])
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        print(f"{folder}: removed {names}{more}, which the source does not have", file=sys.stderr)


def copy_file(path: Path, target: Path, bar: Any) -> None:
    """Copy one file atomically."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with path.open("rb") as source, temporary.open("wb") as sink:
            while chunk := source.read(BLOCK_SIZE):
                sink.write(chunk)
                bar.update(len(chunk))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def one_of(name: str, names: Sequence[str], what: str) -> str:
    """Return `name` if it is one of `names`.

    Raises:
        ConfigureError: it is not; the message suggests similar names.
    """
    if name in names:
        return name
    raise ConfigureError(f"no {what} `{name}`; {suggest(name, names)}")


def add_commands(subparsers: Any) -> None:
    """Register `decant configure`."""
    parser = add_command(
        subparsers,
        "configure",
        "Set up the project for a data source: copy its files to data/raw, write the source and "
        "matching settings into params.yaml, show the changes. `make run SOURCE=… "
        "FROM=… PROFILE=… PROTOCOL=… GROUPS=…` does this and then runs.",
        run,
        has_root=False,
    )
    parser.add_argument("--source", help=f"{', '.join(SOURCES)}; default: the one in params.yaml")
    parser.add_argument(
        "--from",
        dest="origin",
        type=Path,
        metavar="PATH",
        help="folder or file to copy from; default: the files in data/raw",
    )
    parser.add_argument(
        "--profile",
        help="quick: small models, minutes; full: best quality; movielens-1m also has ids and "
        "ids-ensemble, the teacher from item ids alone; default: quick for a new source, else "
        "unchanged settings",
    )
    parser.add_argument(
        "--protocol",
        metavar="|".join((*PROTOCOLS, NONE)),
        help=f"p1: {MOVIELENS_1M} as in the benchmark file of SASRec and BERT4Rec, built from the "
        "publisher's files, any other data is refused; default: none for a new source, else "
        "unchanged",
    )
    parser.add_argument(
        "--groups",
        metavar="NAME",
        help="user groups: activity: by the length of the history, for any source; preset: those "
        f"of the source's preset, for {OWN} your own; default: preset for a new source, else "
        "unchanged",
    )
    parser.add_argument(
        "--upgrade",
        action="store_true",
        help="bring params.yaml of an earlier version of Decant up to date: rename settings, add "
        "new ones",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run `decant configure`."""
    root = Path.cwd()
    if arguments.upgrade:
        if any(getattr(arguments, name) for name in OPTIONS):
            raise ConfigureError("--upgrade goes alone: run `decant configure` again for the rest")
        with locked(root):
            diff = upgrade_settings(root)
        print("\n".join(diff) if diff else "params.yaml: unchanged, it is up to date")
        return 0
    source = arguments.source or load_params(root / "params.yaml").source
    with locked(root):
        chosen = {name: getattr(arguments, name) for name in OPTIONS if name != "source"}
        diff = configure(root, source, **chosen)
    print("\n".join(diff) if diff else f"params.yaml: unchanged, source {source}")
    for line in warnings_in(root, load_params(root / "params.yaml")):
        print(f"warning: {line}", file=sys.stderr)
    return 0
