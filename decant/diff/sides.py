"""The sides of a comparison, given by name: a commit, a release or the workspace."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decant.diff.cache import NotCachedError, Outputs, cache_folder
from decant.diff.record import Record, Settings, not_as_run, outputs_of, read_record, read_settings
from decant.files import ContentError, parse_json
from decant.params.load import load_params
from decant.release.provenance import git
from decant.release.records import UnknownReleaseError
from decant.release.registry import CHANNELS, Registry, open_registry
from decant.suggest import nearest

WORKSPACE = "workspace"
LOCK, PARAMS = "dvc.lock", "params.yaml"
RELEASE_PREFIX = re.compile(r"[0-9a-f]{4,16}")  # shorter ones are ambiguous
MADE = {
    "metrics": "data/evaluation/metrics.json",
    "verdict": "data/gate/verdict.json",
    "candidate": "data/candidate/candidate.json",
}
Reader = Callable[[str], bytes | None]
SHOWN = 8  # digits of a commit, settings in one note
LONGEST = 72  # characters of a commit's date and subject


class SideError(ValueError):
    """A name does not refer to a comparable run; the message says why."""


@dataclass(frozen=True)
class Place:
    """The run that a name refers to: `kind` commit, release or workspace, and a unique `id`."""

    name: str
    kind: str
    id: str
    title: str


@dataclass(frozen=True)
class Side:
    """One side: settings, the record of the run, and its figures as far as available.

    `metrics` and `verdict` are empty if not available, which is noted in `notes`.
    """

    place: Place
    settings: Settings
    record: Record
    outputs: Outputs
    release: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find(root: Path, name: str) -> Place:
    """Find the commit, release or workspace that `name` refers to in the project `root`.

    Raises:
        SideError: the name is unknown, or both a release and a commit.
    """
    if name == WORKSPACE:
        title = f"{PARAMS} and {LOCK} as they are in the folder"
        return Place(name, "workspace", WORKSPACE, title)
    commit = find_commit(root, name)
    try:
        release = find_release(root, name)
    except (ValueError, OSError):
        if commit is None:
            raise
        release = None  # no registry is needed to compare commits
    if commit and release:
        raise SideError(
            f"`{name}` is both {release.title} and commit {commit.id[:SHOWN]}: give the release's "
            "whole id, or more of the commit's (a branch: refs/heads/…)"
        )
    place = commit or release
    if place is None:
        raise SideError(unknown(root, name))
    return place


def find_commit(root: Path, name: str) -> Place | None:
    """The commit of a revision or a DVC experiment, None if there is none."""
    commit = git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit:
        subject = git(root, "log", "-1", "--format=%cs, %s", commit.strip()) or ""
        title = f"commit {commit[:SHOWN]}, {subject.strip()[:LONGEST]}"
        return Place(name, "commit", commit.strip(), title)
    if not re.fullmatch(r"[\w-]+", name):
        return None
    commits = git(root, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}")
    if not commits:
        return None
    commit = commits.splitlines()[0]
    return Place(name, "commit", commit, f"experiment, commit {commit[:SHOWN]}")


def find_release(root: Path, name: str) -> Place | None:
    """The release with an id or id prefix, or on a channel; None if there is none.

    Raises:
        SideError: a channel without a release. RegistryError, StoreError, ParamsError
    """
    registry = registry_of(root)
    if name in {*CHANNELS, *registry.channels()}:
        release = registry.pointer(name).release
        if release is None:
            raise SideError(f"nothing was promoted to {name} yet: there is no release to compare")
        return Place(name, "release", release, f"release {release}, on {name}")
    if RELEASE_PREFIX.fullmatch(name):
        with suppress(UnknownReleaseError):
            release = registry.resolve(name)
            return Place(name, "release", release, f"release {release}")
    return None


def unknown(root: Path, name: str) -> str:
    """The message for an unknown name: suggests a similar one, or commands that list them."""
    in_git = git(root, "rev-parse", "--git-dir") is not None
    refs = (git(root, "for-each-ref", "--format=%(refname:short)") or "").split()
    known = [WORKSPACE, *CHANNELS, *refs]
    with suppress(ValueError, OSError):
        registry = registry_of(root)
        known += [*registry.channels(), *registry.ids()]
    near = nearest(name, known)
    hint = f"did you mean `{near}`?" if near else "`decant releases` and `git log` list them"
    if not in_git:
        return f"no release or channel `{name}` (commits: not a Git repository); {hint}"
    return f"no commit, release or channel `{name}`; {hint}"


def registry_of(root: Path) -> Registry:
    """The project's registry."""
    return open_registry(load_params(root / PARAMS).registry, root)


def read_side(root: Path, place: Place) -> Side:
    """Read one side: its documents, and its figures if available.

    Raises:
        SideError: it has no dvc.lock or params.yaml. ContentError: one of them is damaged.
        DamagedReleaseError
    """
    read = reader(root, place)
    settings = read_settings(label(place, PARAMS), needed(place, PARAMS, read))
    record = read_record(label(place, LOCK), needed(place, LOCK, read))
    outputs = Outputs(cache_folder(root), outputs_of(record))
    stale = not_as_run(settings, record)
    notes = [f"{some(stale)} in {PARAMS}: the stages ran with other values"] if stale else []
    if place.kind == "release":
        documents = {
            name: parse_json(label(place, f"{name}.json"), read(f"{name}.json") or b"{}")
            for name in ("metrics", "verdict")
        }
        return Side(place, settings, record, outputs, place.id, **documents, notes=notes)
    documents = {}
    for name, path in MADE.items():
        try:
            documents[name] = parse_json(path, outputs.read(path))
        except (NotCachedError, ContentError) as error:
            documents[name] = {}
            notes.append(str(error))
    release = documents.pop("candidate").get("id")
    return Side(place, settings, record, outputs, release, **documents, notes=notes)


def reader(root: Path, place: Place) -> Reader:
    """A function that reads a side's files, and returns None for missing ones."""
    if place.kind == "release":
        registry = registry_of(root)
        release = registry.release(place.id)
        return lambda name: registry.read(release, name) if name in release.files else None
    if place.kind == "commit":
        return lambda name: git_file(root, place.id, name)
    return lambda name: (root / name).read_bytes() if (root / name).is_file() else None


def git_file(root: Path, commit: str, name: str) -> bytes | None:
    """A file of a commit, None if missing; `name` is relative to `root`."""
    try:
        content = git(root, "show", f"{commit}:./{name}")
    except UnicodeDecodeError:
        raise ContentError(f"{name} of commit {commit[:SHOWN]} is damaged: not UTF-8") from None
    return None if content is None else content.encode()


def needed(place: Place, name: str, read: Reader) -> bytes:
    """A required file of a side.

    Raises:
        SideError: it is missing.
    """
    content = read(name)
    if content is None:
        advice = {
            "workspace": "run `make run` first",
            "commit": f"commit {LOCK} with the settings after a run",
        }.get(place.kind, "it was published without it")
        raise SideError(f"no {label(place, name)}: {advice}")
    return content


def label(place: Place, name: str) -> str:
    """Name of a side's file in messages."""
    if place.kind == "workspace":
        return f"{name} in the workspace"
    shown = place.id[:SHOWN] if place.kind == "commit" else place.id
    return f"{name} of {place.kind} {shown}"


def some(names: list[str]) -> str:
    """The first few names, and the number of the others."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
