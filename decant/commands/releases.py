"""The registry's commands: releases, promote, rollback, trace, status."""

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from decant.commands.parser import add_channel, add_command, add_json
from decant.files import ContentError
from decant.params.load import load_params
from decant.release.candidate import CandidateError, check_candidate
from decant.release.pointer import Pointer
from decant.release.records import (
    Change,
    DamagedReleaseError,
    RegistryError,
    Release,
    UnknownReleaseError,
)
from decant.release.registry import CHANNELS, PRODUCTION, Registry, open_registry
from decant.release.store import DAMAGED_KEY
from decant.release.trace import describe, trace
from decant.suggest import suggest

UNREADABLE = (UnknownReleaseError, DamagedReleaseError, *DAMAGED_KEY)  # of one release
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))  # seconds each
logger = logging.getLogger(__name__)


class UnknownChannelError(RegistryError):
    """No channel has this name; `known` are the existing ones."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name, self.known = name, known
        hint = suggest(name, known, "channels", ignore_case=True)
        super().__init__(
            f"no channel `{name}`; {hint} (`decant promote --new-channel` creates one)"
        )


def add_commands(subparsers: Any) -> None:
    """Register the commands; each sets `func`, which returns the exit status."""
    releases = add_command(
        subparsers,
        "releases",
        "List the releases in the registry, newest first: gate verdict, user groups with their own "
        "student, channels that point at it.",
        _releases,
    )
    add_json(releases)
    promote = add_command(
        subparsers,
        "promote",
        "Point a channel at a release. Its files are verified first; a release that failed the "
        "gate is refused. A running service reloads automatically.",
        _promote,
    )
    promote.add_argument("release", metavar="ID", help="id of a release, or a unique prefix")
    _move_options(promote)
    promote.add_argument(
        "--new-channel", action="store_true", help="create the channel if it does not exist"
    )
    rollback = add_command(
        subparsers, "rollback", "Point a channel back at its previous release.", _rollback
    )
    rollback.add_argument(
        "--to", metavar="ID", help="release to return to; default: the previous one"
    )
    _move_options(rollback)
    traced = add_command(
        subparsers,
        "trace",
        "Show the origin of a release: code, settings, inputs and outputs of each stage, down to "
        "the checksums of the raw files.",
        _trace,
    )
    traced.add_argument("release", metavar="ID", help="id of a release, or a unique prefix")
    add_json(traced)
    status = add_command(
        subparsers,
        "status",
        "Show a channel's release, since when it is there, and the candidate in data/candidate.",
        _status,
    )
    add_channel(status, PRODUCTION, "the channel to show")
    add_json(status)


def status(registry: Registry, root: Path, channel: str, now: datetime) -> dict[str, Any]:
    """Describe a channel's release and the candidate in the workspace as one JSON document.

    `damaged`: the pointer or its release's manifest is unreadable; `problems` has a line for
    each. `release` is then the last one in the channel's history, or null.
    """
    pointer = registry.pointer(channel)
    problems = [f"{pointer.summary()}; {pointer.advice()}"] if pointer.problem else []
    document: dict[str, Any] = {
        "channel": channel,
        "release": pointer.release,
        "releases": len(registry.ids()),
        "workspace": workspace(registry, root),
    }
    if change := pointer.change:
        shown = {"action", "at", "by", "reason", "previous"}
        document |= change.model_dump(mode="json", include=shown)
        document["age_s"] = round((now - change.at).total_seconds())
        try:
            release = registry.release(change.release)
            document |= release.model_dump(include={"source", "students", "folded", "passed"})
        except UNREADABLE as error:
            problems = problems or [str(error)]
    return document | {"damaged": bool(problems), "problems": problems}


def workspace(registry: Registry, root: Path) -> dict[str, Any]:
    """Describe the candidate in `root`: its id, whether it passed, whether it is published."""
    try:
        candidate = check_candidate(root / "data" / "candidate")
    except (CandidateError, ContentError, OSError) as error:
        return {"candidate": None, "problem": str(error)}
    published = candidate["id"] in registry.ids()
    return {"candidate": candidate["id"], "passed": candidate["passed"], "published": published}


def check_channel(registry: Registry, name: str) -> None:
    """Check that a channel exists, as `promote` would create one for a typo.

    Raises:
        UnknownChannelError: it does not.
    """
    known = known_channels(registry)
    if name not in known:
        raise UnknownChannelError(name, known)


def known_channels(registry: Registry) -> list[str]:
    """List the default channels, then the others."""
    return list(dict.fromkeys([*CHANNELS, *registry.channels()]))


def age(seconds: float) -> str:
    """Format a duration in its largest unit: `3 days`."""
    for unit, length in UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


@contextmanager
def show_warnings() -> Iterator[None]:
    """Print the library's warnings as lines on stderr, each once."""
    library, handler = logging.getLogger("decant"), _Warnings(logging.WARNING)
    library.addHandler(handler)
    try:
        yield
    finally:
        library.removeHandler(handler)


class _Warnings(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = " ".join(record.getMessage().split())
        if line not in self.printed:
            print(f"decant: warning: {line}", file=sys.stderr)
        self.printed.add(line)


def pointers(registry: Registry) -> list[Pointer]:
    """Read the pointer of every channel; log a warning for damaged ones."""
    all_pointers = [registry.pointer(name) for name in known_channels(registry)]
    for pointer in all_pointers:
        if pointer.problem:
            logger.warning("%s; %s", pointer.summary(), pointer.advice())
    return all_pointers


@show_warnings()
def _releases(arguments: argparse.Namespace) -> int:
    registry = _open(arguments)
    serving = pointers(registry)
    rows = [
        _row(release, [pointer.channel for pointer in serving if pointer.release == release.id])
        for release in registry.releases()
    ]
    listed = {row["id"] for row in rows}
    for pointer in serving:
        if pointer.release and not pointer.problem and pointer.release not in listed:
            logger.warning("the manifest of %s's %s is damaged", pointer.channel, pointer.release)
    if arguments.json:
        _print_json(rows)
    elif not rows:
        print("no releases yet: `make run` makes one")
    for row in [] if arguments.json else rows:
        verdict = "passed" if row["passed"] else "failed"
        names = ", ".join(row["students"])
        print(f"{row['id']}  {row['at'][:19]}  {verdict}  {row['source']}: {names}", end="")
        print(f"  <- {', '.join(row['channels'])}" if row["channels"] else "")
    return 0


def _row(release: Release, channels: list[str]) -> dict[str, Any]:
    return {
        "id": release.id,
        "at": release.published_at.isoformat(),
        "by": release.published_by,
        "source": release.source,
        "students": release.students,
        "folded": release.folded,
        "passed": release.passed,
        "bytes": sum(file.bytes for file in release.files.values()),
        "channels": channels,
    }


@show_warnings()
def _promote(arguments: argparse.Namespace) -> int:
    registry = _open(arguments)
    if not arguments.new_channel:
        check_channel(registry, arguments.channel)
    before = registry.pointer(arguments.channel)
    change = registry.promote(arguments.release, arguments.channel, arguments.reason)
    if before.change and before.change.change == change.change:
        print(f"{change.channel} already points at {change.release}, since {change.at:%F %T}")
    else:
        print(_moved(change, before))
    return 0


@show_warnings()
def _rollback(arguments: argparse.Namespace) -> int:
    registry = _open(arguments)
    check_channel(registry, arguments.channel)
    before = registry.pointer(arguments.channel)
    change = registry.rollback(arguments.channel, arguments.to, arguments.reason)
    print(_moved(change, before))
    return 0


@show_warnings()
def _trace(arguments: argparse.Namespace) -> int:
    document = trace(_open(arguments), arguments.release)
    if arguments.json:
        _print_json(document)
    else:
        print(describe(document))
    return 0


@show_warnings()
def _status(arguments: argparse.Namespace) -> int:
    registry = _open(arguments)
    check_channel(registry, arguments.channel)
    document = status(registry, arguments.root, arguments.channel, datetime.now(UTC))
    for problem in document["problems"]:
        logger.warning("%s", problem)
    if arguments.json:
        _print_json(document)
    else:
        print(describe_status(document))
    return 0


def describe_status(document: dict[str, Any]) -> str:
    """Format a status as lines."""
    work = document["workspace"]
    lines = _channel_lines(document)
    if work["candidate"]:
        state = "published" if work["published"] else "not published"
        verdict = "passed" if work["passed"] else "failed"
        lines.append(f"workspace   candidate {work['candidate']}, {verdict} the gate, {state}")
    else:
        lines.append(f"workspace   {work['problem']}")
    return "\n".join([*lines, f"releases    {document['releases']}"])


def _channel_lines(document: dict[str, Any]) -> list[str]:
    if not document["release"]:
        state = "damaged, release unknown" if document["damaged"] else "nothing promoted yet"
        return [f"{document['channel']}  {state}"]
    damaged = ", damaged" if document["damaged"] else ""
    moved = "rolled back" if document["action"] == "rollback" else "promoted"
    since = f"for {age(document['age_s'])}, {moved} by {document['by']}{damaged}"
    lines = [f"{document['channel']}  {document['release']}  {since}"]
    if "students" in document:
        lines += [
            f"students    {', '.join(document['students'])}",
            f"by general  {', '.join(document['folded']) or 'none'}",
            f"gate        {'passed' if document['passed'] else 'failed'}",
        ]
    return [*lines, f"previous    {document['previous'] or 'nothing'}"]


def _moved(change: Change, before: Pointer) -> str:
    fallback = "unknown" if before.problem else "nothing"
    return f"{change.channel}: {before.release or fallback} -> {change.release}"


def _open(arguments: argparse.Namespace) -> Registry:
    settings = load_params(arguments.root / "params.yaml").registry
    return open_registry(settings, arguments.root)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, sort_keys=True))


def _move_options(parser: argparse.ArgumentParser) -> None:
    add_channel(parser, PRODUCTION, "the channel to move")
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="reason to record in the channel's history"
    )
