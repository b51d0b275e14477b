"""Releases in a store: published atomically, verified on every use.

- `releases/<id>/…`: a release's files, never overwritten
- `releases/<id>/manifest.json`: sha256 of each file and a checksum of itself, written last: a
  release exists only with its manifest
"""

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

from decant.files import digest, parse_json, read_json, short
from decant.release.agreement import CANDIDATE, COMPARISON, VERDICT, disagreements
from decant.release.candidate import CandidateError, check_candidate
from decant.release.copies import is_copy, needs_room, put_in_place
from decant.release.folder import ReleaseFolder, stray_problem
from decant.release.identity import ID_LENGTH
from decant.release.manifest import (
    LARGEST_MANIFEST,
    check_graphs,
    check_servable,
    described,
    read_manifest,
    write_manifest,
)
from decant.release.names import MANIFEST as MANIFEST  # others import it from here
from decant.release.records import (
    DamagedReleaseError,
    GateFailedError,
    Release,
    StoredFile,
    UnknownReleaseError,
    reasons_against,
)
from decant.release.store import (
    DAMAGED_KEY,
    KeyExistsError,
    LocalStore,
    MissingKeyError,
    Store,
    SwapLostError,
)
from decant.suggest import MANY, suggest

SHOWN_IDS = 5  # in one message
logger = logging.getLogger(__name__)


class Releases:
    """The releases of one store."""

    def __init__(
        self, store: Store, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.store, self.now = store, now

    def publish(self, folder: Path, extra: Mapping[str, bytes], *, failed_too: bool = False) -> str:
        """Copy the candidate in `folder` and `extra` files (name → content) into the registry.

        The manifest is written last, so that a release exists completely or not at all; files of
        an interrupted attempt are reused. Publishing an existing id changes nothing, except that a
        damaged release is repaired, and one published as failed is updated if it passes now.

        Returns:
            The release's id.

        Raises:
            CandidateError: the candidate is missing, incomplete, changed, contradicts itself or
                has a graph that must not be served.
            GateFailedError: it did not pass and `failed_too` is not set.
        """
        candidate = check_candidate(folder)
        release = str(candidate["id"])
        compared = parse_json(COMPARISON, extra[COMPARISON]) if COMPARISON in extra else None
        reasons = reasons_against(read_json(folder / VERDICT), compared)
        names = [*candidate["files"], CANDIDATE]
        contents: dict[str, bytes | Path] = {**{name: folder / name for name in names}, **extra}
        planned = self._new_manifest(candidate, reasons, contents)
        check_servable(f"{short(folder)}: ", planned, lambda path: _bytes(contents[path]))
        if reasons and not failed_too:
            raise GateFailedError(f"candidate {release}", reasons)
        self.store.probe()
        there = self.store.read_versioned(_key(release, MANIFEST))
        if there and self._stands(release, there[0], passed=not reasons):
            return release
        files = {name: self._keep(planned, name, content) for name, content in contents.items()}
        manifest = write_manifest(planned.model_copy(update={"files": files}))
        with suppress(SwapLostError):  # published concurrently
            self.store.swap(_key(release, MANIFEST), there[1] if there else None, manifest)
        return release

    def releases(self) -> list[Release]:
        """All complete releases, newest first; logs a warning for unreadable manifests."""
        loaded = []
        for release in self.ids():
            try:
                loaded.append(self._load(release))
            except DamagedReleaseError as error:
                logger.warning("%s", error)
            except UnknownReleaseError:
                continue  # removed concurrently
        return sorted(loaded, key=lambda release: (release.published_at, release.id), reverse=True)

    def ids(self) -> list[str]:
        """Ids of the complete releases."""
        keys = [key.split("/") for key in self.store.list("releases/")]
        return [parts[1] for parts in keys if len(parts) == 3 and parts[2] == MANIFEST]

    def release(self, given: str | Release) -> Release:
        """The manifest of a release, given by its id, a unique prefix, or the manifest.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        return given if isinstance(given, Release) else self._load(self.resolve(given))

    def resolve(self, given: str) -> str:
        """The id of the one complete release that starts with `given`.

        Raises:
            UnknownReleaseError: none or several match; the message suggests similar ids.
        """
        if len(given) == ID_LENGTH and given.isalnum() and self.store.exists(_key(given, MANIFEST)):
            return given
        ids = self.ids()
        matching = [release for release in ids if given and release.startswith(given)]
        if len(matching) != 1:
            raise UnknownReleaseError(given, self._why_unknown(given, ids, matching))
        return matching[0]

    def read(self, given: str | Release, path: str) -> bytes:
        """One file of a release, verified.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        release = self.release(given)
        return b"".join(self._checked(release, path))

    def verify(self, given: str | Release) -> Release:
        """Check the hashes of all files of a release, and that its documents agree.

        Raises:
            UnknownReleaseError, DamagedReleaseError
        """
        release = self.release(given)
        problems = self._misplaced(release)
        for path in [] if problems else release.files:
            try:
                digest(self._checked(release, path))
            except DamagedReleaseError as error:
                problems += error.problems
        problems = problems or disagreements(
            release.model_dump(), lambda path: self.read(release, path)
        )
        if problems:
            raise DamagedReleaseError(release.id, problems)
        return release

    def fetch(self, given: str, destination: Path) -> Path:
        """Copy a release into the folder `destination`, verified and atomically.

        An existing intact copy of this release is kept; anything else there is replaced.

        Raises:
            UnknownReleaseError, DamagedReleaseError
            StoreError: the disk has too little space.
        """
        release, manifest = self._read_manifest(self.resolve(given))
        if is_copy(release, manifest, destination):
            return destination
        destination.parent.mkdir(parents=True, exist_ok=True)
        needs_room(release, destination.parent)
        mark = uuid.uuid4().hex[:8]
        temporary = destination.with_name(f".{destination.name}.{mark}.new")
        try:
            self._download(release, temporary)
            (temporary / MANIFEST).write_bytes(manifest)
            put_in_place(release, manifest, temporary, destination)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return destination

    def fit_to_serve(self, given: str) -> str:
        """The id of a release that is complete, unchanged, safe to run and passed its gate.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError
        """
        release = self.verify(given)
        verdict = parse_json(VERDICT, self.read(release, VERDICT))
        compared = None
        if COMPARISON in release.files:
            compared = parse_json(COMPARISON, self.read(release, COMPARISON))
        reasons = reasons_against(verdict, compared)
        if reasons:
            raise GateFailedError(f"release {release.id}", reasons)
        try:
            check_graphs(release, lambda path: self.read(release, path))
        except CandidateError as error:
            raise DamagedReleaseError(release.id, [str(error)]) from None
        return release.id

    def _stands(self, release: str, manifest: bytes, *, passed: bool) -> bool:
        """Whether a release is intact, and passed unless it would still fail."""
        try:
            known = self.verify(read_manifest(release, manifest))
        except DamagedReleaseError as error:
            logger.warning("%s", error)
            return False
        return known.passed or not passed

    def _load(self, release: str) -> Release:
        return self._read_manifest(release)[0]

    def _read_manifest(self, release: str) -> tuple[Release, bytes]:
        content = bytearray()
        try:
            for chunk in self.store.stream(_key(release, MANIFEST)):
                content += chunk
                if len(content) > LARGEST_MANIFEST:
                    problem = f"{MANIFEST} is larger than {LARGEST_MANIFEST} bytes"
                    raise DamagedReleaseError(release, [problem])
        except DAMAGED_KEY as error:
            raise DamagedReleaseError(release, [f"{MANIFEST} {error.problem}"]) from None
        except MissingKeyError:
            raise UnknownReleaseError(release, "it was removed concurrently") from None
        return read_manifest(release, bytes(content)), bytes(content)

    def _misplaced(self, release: Release) -> list[str]:
        """Unlisted names among a release's files, and names that are not files."""
        files = release.listing()
        if isinstance(self.store, LocalStore):
            return ReleaseFolder(self.store.folder / _key(release.id, ""), files).misplaced()
        prefix = _key(release.id, "")
        names = [key.removeprefix(prefix) for key in self.store.list(prefix)]
        return [problem for name in names if (problem := stray_problem(name, files))]

    def _why_unknown(self, given: str, ids: list[str], matching: list[str]) -> str:
        if matching:
            return f"{len(matching)} match: {', '.join(matching[:SHOWN_IDS])}"
        begun = {key.split("/")[1] for key in self.store.list(f"releases/{given}")} if given else ()
        if begun:  # files, but no readable manifest
            return self._why_incomplete(min(begun))
        if not ids:
            return f"{self.store.name} has no releases yet"
        return suggest(given, ids, searched=MANY, listed=SHOWN_IDS)

    def _why_incomplete(self, release: str) -> str:
        try:
            self._load(release)
        except DamagedReleaseError as error:
            return f"it is damaged: {error.problems[0]}; move it away and publish the release again"
        except UnknownReleaseError:
            pass
        return "it is only partly published; publish it again"

    def _keep(self, release: Release, name: str, content: bytes | Path) -> StoredFile:
        """Store one file; under another name if a different file already has its name."""
        actual, planned = described(content), release.files[name]
        if actual != planned:
            raise CandidateError(f"{name} was changed while it was being published; try again")
        for stored in (name, f"{name}.{actual.sha256[:16]}", f"{name}.{uuid.uuid4().hex[:16]}"):
            key = _key(release.id, stored)
            try:
                self.store.write_new(key, content)
            except KeyExistsError:
                if digest(self.store.stream(key)) != actual.sha256:
                    continue
            return actual.model_copy(update={"stored": None if stored == name else stored})
        raise DamagedReleaseError(release.id, [f"{name}: other files are stored under its names"])

    def _new_manifest(
        self, candidate: Mapping[str, Any], reasons: list[str], contents: Mapping[str, bytes | Path]
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
            files={name: described(content) for name, content in contents.items()},
        )

    def _checked(self, release: Release, path: str) -> Iterator[bytes]:
        """A file's bytes in chunks; raises DamagedReleaseError, for a wrong hash at the end."""
        file = release.files.get(path)
        if file is None:
            raise DamagedReleaseError(release.id, [f"{path} is missing"])
        hasher, remaining = hashlib.sha256(), file.bytes
        try:
            for chunk in self.store.stream(_key(release.id, file.stored or path)):
                remaining -= len(chunk)
                if remaining < 0:
                    problem = f"{path} is longer than the {file.bytes} bytes in {MANIFEST}"
                    raise DamagedReleaseError(release.id, [problem])
                hasher.update(chunk)
                yield chunk
        except DAMAGED_KEY as error:
            raise DamagedReleaseError(release.id, [f"{path} {error.problem}"]) from None
        except MissingKeyError:
            raise DamagedReleaseError(release.id, [f"{path} is missing"]) from None
        if remaining or hasher.hexdigest() != file.sha256:
            raise DamagedReleaseError(release.id, [f"{path} was changed"])

    def _download(self, release: Release, folder: Path) -> None:
        for path in release.files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.writelines(self._checked(release, path))
                file.flush()
                os.fsync(file.fileno())
        copy = ReleaseFolder(folder, release.listing(), copied=True)
        problems = disagreements(release.model_dump(), copy.read)
        if problems:
            raise DamagedReleaseError(release.id, problems)


def whoami() -> str:
    """Name of the acting user: DECANT_ACTOR, or else the account's name."""
    actor = os.environ.get("DECANT_ACTOR")
    if actor:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return f"uid {os.getuid()}"


def _key(release: str, name: str) -> str:
    return f"releases/{release}/{name}"


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
