"""Releases in a store: published whole, checked whenever they are used.

- `releases/<id>/…`: a release's files, never overwritten
- `releases/<id>/manifest.json`: the sha256 of each, written last: without it there is no release
"""

import difflib
import fcntl
import getpass
import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from decant.release.candidate import ID_LENGTH, check_candidate
from decant.release.content import digest, digest_file, parse_json, read_json
from decant.release.records import (
    DamagedReleaseError,
    GateFailedError,
    RegistryError,
    Release,
    StoredFile,
    UnknownReleaseError,
    dump,
    identity_problems,
    parse,
    reasons_against,
)
from decant.release.store import (
    KeyExistsError,
    MissingKeyError,
    Store,
    SwapLostError,
    inner_path,
)

MANIFEST = "manifest.json"
COMPARISON = "comparison.json"

logger = logging.getLogger(__name__)


class Releases:
    """The releases of one store."""

    def __init__(
        self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.store, self.now = store, now

    def publish(self, folder: Path, extra: Mapping[str, bytes], *, failed_too: bool = False) -> str:
        """Copy the candidate in `folder` and `extra` files (name → content) into the registry.

        The manifest comes last, so a release is there completely or not at all; what an
        interrupted attempt left is used. The same id again changes nothing, except that a damaged
        release is made whole, and one published as failed gets the evidence that it passes.

        Returns:
            The release's id.

        Raises:
            CandidateError: the candidate is missing, incomplete or changed.
            GateFailedError: it did not pass and `failed_too` is not set.
        """
        candidate = check_candidate(folder)
        release = str(candidate["id"])
        compared = parse_json(COMPARISON, extra[COMPARISON]) if COMPARISON in extra else None
        reasons = reasons_against(read_json(folder / "verdict.json"), compared)
        if reasons and not failed_too:
            raise GateFailedError(f"candidate {release}", reasons)
        self.store.probe()
        there = self.store.read_versioned(_key(release, MANIFEST))
        if there and self._stands(release, there[0], passed=not reasons):
            return release
        names = [*candidate["files"], "candidate.json"]
        contents: dict[str, bytes | Path] = {**{name: folder / name for name in names}, **extra}
        files = {name: self._keep(release, name, content) for name, content in contents.items()}
        manifest = self._new_manifest(candidate, reasons, files)
        with suppress(SwapLostError):  # somebody else has just published the same
            self.store.swap(_key(release, MANIFEST), there[1] if there else None, dump(manifest))
        return release

    def releases(self) -> list[Release]:
        """Every complete release, newest first; one whose manifest is unreadable is warned of."""
        found = []
        for release in self.ids():
            try:
                found.append(self._load(release))
            except DamagedReleaseError as error:
                logger.warning("%s", error)
        return sorted(found, key=lambda release: (release.published_at, release.id), reverse=True)

    def ids(self) -> list[str]:
        """Ids of the complete releases."""
        keys = [key.split("/") for key in self.store.list("releases/")]
        return [parts[1] for parts in keys if len(parts) == 3 and parts[2] == MANIFEST]

    def release(self, given: str | Release) -> Release:
        """The manifest of a release by its id or a unique beginning of it; a manifest is itself.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        return given if isinstance(given, Release) else self._load(self.resolve(given))

    def resolve(self, given: str) -> str:
        """The id of the one complete release that begins with `given`.

        Raises:
            UnknownReleaseError: none does, or several; the message names the nearest.
        """
        if len(given) == ID_LENGTH and given.isalnum() and self.store.exists(_key(given, MANIFEST)):
            return given
        ids = self.ids()
        matching = [release for release in ids if given and release.startswith(given)]
        if len(matching) != 1:
            raise UnknownReleaseError(given, self._why_unknown(given, ids, matching))
        return matching[0]

    def read(self, given: str | Release, path: str) -> bytes:
        """One file of a release, its hash checked.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        release = self.release(given)
        return b"".join(self._checked(release, path))

    def verify(self, given: str | Release) -> Release:
        """Check the hash of every file of a release, and that its id is that of its content.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        release = self.release(given)
        problems = []
        for path in release.files:
            try:
                digest(self._checked(release, path))
            except DamagedReleaseError as error:
                problems += error.problems
        problems = problems or identity_problems(release, self.read(release, "candidate.json"))
        if problems:
            raise DamagedReleaseError(release.id, problems)
        return release

    def fetch(self, given: str, destination: Path) -> Path:
        """Copy a release into the folder `destination`; it appears there whole and checked.

        What is there already is kept when it is this release unharmed, and replaced otherwise.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        release = self.release(given)
        if is_copy(release, destination):
            return destination
        mark = uuid.uuid4().hex[:8]
        temporary = destination.with_name(f".{destination.name}.{mark}.new")
        try:
            self._download(release, temporary)
            _put_in_place(release, temporary, destination)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return destination

    def fit_to_serve(self, given: str) -> str:
        """The id of a release that is whole, unchanged and has passed.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError
        """
        release = self.verify(given)
        verdict = parse_json("verdict.json", self.read(release, "verdict.json"))
        compared = None
        if COMPARISON in release.files:
            compared = parse_json(COMPARISON, self.read(release, COMPARISON))
        reasons = reasons_against(verdict, compared)
        if reasons:
            raise GateFailedError(f"release {release.id}", reasons)
        return release.id

    def _stands(self, release: str, manifest: bytes, *, passed: bool) -> bool:
        """Is a release whole, and not one that failed where it would pass now?"""
        try:
            known = self.verify(_manifest(release, manifest))
        except DamagedReleaseError as error:
            logger.warning("%s", error)
            return False
        return known.passed or not passed

    def _load(self, release: str) -> Release:
        try:
            return _manifest(release, self.store.read(_key(release, MANIFEST)))
        except MissingKeyError:
            raise UnknownReleaseError(release, "it was removed meanwhile") from None

    def _why_unknown(self, given: str, ids: list[str], matching: list[str]) -> str:
        if matching:
            return f"{len(matching)} begin so: {', '.join(matching[:5])}"
        if given and self.store.list(f"releases/{given}"):
            return "it is only half published; publish it again"
        if not ids:
            return f"{self.store.name} has no releases yet"
        return f"the nearest: {', '.join(difflib.get_close_matches(given, ids, n=3, cutoff=0.0))}"

    def _keep(self, release: str, name: str, content: bytes | Path) -> StoredFile:
        """Store one file; beside, not over, what another attempt has left under its name."""
        sha = digest(content) if isinstance(content, bytes) else digest_file(content)
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        for stored in (name, f"{name}.{sha[:16]}", f"{name}.{uuid.uuid4().hex[:16]}"):
            key = _key(release, stored)
            try:
                self.store.write_new(key, content)
            except KeyExistsError:
                if digest(self.store.stream(key)) != sha:
                    continue
            return StoredFile(sha256=sha, bytes=size, stored=None if stored == name else stored)
        raise DamagedReleaseError(release, [f"{name}: something else is stored under its names"])

    def _new_manifest(
        self, candidate: Mapping[str, Any], reasons: list[str], files: dict[str, StoredFile]
    ) -> Release:
        return Release(
            id=candidate["id"],
            published_at=self.now(),
            published_by=whoami(),
            source=candidate["source"],
            students=sorted(candidate["students"]),
            folded=sorted(candidate["folded"]),
            passed=not reasons,
            reasons=reasons,
            files=files,
        )

    def _checked(self, release: Release, path: str) -> Iterator[bytes]:
        """A file's bytes in pieces; raises DamagedReleaseError, for a wrong hash at the end."""
        file = release.files.get(path)
        if file is None:
            raise DamagedReleaseError(release.id, [f"{path} is missing"])
        hasher = hashlib.sha256()
        try:
            for chunk in self.store.stream(_key(release.id, file.stored or path)):
                hasher.update(chunk)
                yield chunk
        except MissingKeyError:
            raise DamagedReleaseError(release.id, [f"{path} is missing"]) from None
        if hasher.hexdigest() != file.sha256:
            raise DamagedReleaseError(release.id, [f"{path} was changed"])

    def _download(self, release: Release, folder: Path) -> None:
        for path in release.files:
            target = folder / inner_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.writelines(self._checked(release, path))
        problems = identity_problems(release, self.read(release, "candidate.json"))
        if problems:
            raise DamagedReleaseError(release.id, problems)
        (folder / MANIFEST).write_bytes(dump(release))


def is_copy(release: Release, folder: Path) -> bool:
    """Does `folder` hold this release's files, unchanged?"""
    try:
        return all(
            digest_file(folder / inner_path(path)) == file.sha256
            for path, file in release.files.items()
        )
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False  # also if somebody replaces the folder meanwhile


def whoami() -> str:
    """Who acts: DECANT_ACTOR, or else the account's name."""
    actor = os.environ.get("DECANT_ACTOR")
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return f"uid {os.getuid()}"


def _key(release: str, name: str) -> str:
    return f"releases/{release}/{name}"


def _manifest(release: str, content: bytes) -> Release:
    try:
        manifest = parse(Release, f"releases/{release}/{MANIFEST}", content)
    except RegistryError as error:
        raise DamagedReleaseError(release, [str(error)]) from None
    if manifest.id != release:
        raise DamagedReleaseError(release, [f"{MANIFEST} is that of {manifest.id}"])
    return manifest


def _put_in_place(release: Release, temporary: Path, destination: Path) -> None:
    """Give a complete copy its name; one at a time, as others may be fetching the same."""
    folder = os.open(destination.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if is_copy(release, destination):  # another was faster
            return
        if destination.exists():
            damaged = temporary.with_suffix(".old")
            os.replace(destination, damaged)
            shutil.rmtree(damaged)
        os.rename(temporary, destination)
    finally:
        os.close(folder)  # releases the lock
