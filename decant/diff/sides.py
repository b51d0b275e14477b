"""The two sides of a comparison, by name: a commit, a release or the workspace."""

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
RELEASE_PREFIX = re.compile(r"[0-9a-f]{4,16}")  # shorter ones could be the name of anything
MADE = {
    "metrics": "data/evaluation/metrics.json",
    "verdict": "data/gate/verdict.json",
    "candidate": "data/candidate/candidate.json",
}
Reader = Callable[[str], bytes | None]
SHOWN = 8  # digits of a commit, settings in one note
LONGEST = 72  # characters of a commit's date and subject


class SideError(ValueError):
    """A name leads to nothing that can be compared; the message says why."""


@dataclass(frozen=True)
class Place:
    """The meaning of a name: `kind` commit, release or workspace; `id` tells two of them apart."""

    name: str
    kind: str
    id: str
    title: str


@dataclass(frozen=True)
class Side:
    """One side: settings, the record of the run, and its figures as far as they are at hand.

    `metrics` and `verdict` are empty where they are not at hand; `notes` say so, one line each.
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
    """Find the commit, release or workspace that `name` stands for in the project `root`.

    Raises:
        SideError: nothing, or both a release and a commit.
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
    """The commit of a revision or of a DVC experiment's name, if there is one."""
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
    """The release of an id, of an id's beginning, or on a channel, if there is one.

    Raises:
        SideError: a channel that points at nothing. RegistryError, StoreError, ParamsError
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
    """Compose the message on an unknown name: the nearest one, or commands that list them."""
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
    """Read one side: its documents, and its figures where they are at hand.

    Raises:
        SideError: it has no dvc.lock or params.yaml. ContentError: one of them is damaged.
        DamagedReleaseError
    """
    read = reader(root, place)
    settings = read_settings(label(place, PARAMS), needed(place, PARAMS, read))
    record = read_record(label(place, LOCK), needed(place, LOCK, read))
    outputs = Outputs(cache_folder(root), outputs_of(record))
    stale = not_as_run(settings, record)
    notes = [f"{some(stale)} in {PARAMS}: not what its stages ran with"] if stale else []
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
    """A function that reads a side's files; it returns None for one that the side lacks."""
    if place.kind == "release":
        registry = registry_of(root)
        release = registry.release(place.id)
        return lambda name: registry.read(release, name) if name in release.files else None
    if place.kind == "commit":
        return lambda name: git_file(root, place.id, name)
    return lambda name: (root / name).read_bytes() if (root / name).is_file() else None


def git_file(root: Path, commit: str, name: str) -> bytes | None:
    """A file of a commit, None if it is not in it; `name` is relative to `root`."""
    try:
        content = git(root, "show", f"{commit}:./{name}")
    except UnicodeDecodeError:
        raise ContentError(f"{name} of commit {commit[:SHOWN]} is damaged: not UTF-8") from None
    return None if content is None else content.encode()


def needed(place: Place, name: str, read: Reader) -> bytes:
    """A file that a side must have.

    Raises:
        SideError: it has none.
    """
    content = read(name)
    if content is None:
        advice = {
            "workspace": "run `make run` first",
            "commit": f"commit {LOCK} with the settings after a run",
        }.get(place.kind, "it was published without")
        raise SideError(f"no {label(place, name)}: {advice}")
    return content


def label(place: Place, name: str) -> str:
    """A side's file, for a message."""
    if place.kind == "workspace":
        return f"{name} in the workspace"
    shown = place.id[:SHOWN] if place.kind == "commit" else place.id
    return f"{name} of {place.kind} {shown}"


def some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
