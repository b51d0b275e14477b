"""The manifest of a release: how it is stored, and whether what it says may be served."""

from collections.abc import Callable
from pathlib import Path

from decant.models.bundle import GRAPH
from decant.release.agreement import disagreements
from decant.release.candidate import CandidateError, check_model
from decant.release.content import ContentError, digest, digest_file, readable
from decant.release.names import MANIFEST, file_problems
from decant.release.records import (
    DamagedReleaseError,
    RegistryError,
    Release,
    StoredFile,
    parse,
)
from decant.release.seal import seal_problem, sealed

LARGEST_MANIFEST = 16_000_000  # bytes


def write_manifest(release: Release) -> bytes:
    """A manifest as it is stored, sealed."""
    return readable(sealed(release.model_dump(mode="json", exclude_none=False)))


def read_manifest(release: str, content: bytes) -> Release:
    """A manifest from its bytes.

    Raises:
        DamagedReleaseError: it is not that of this release, was changed, or names files that
            cannot be files of a release.
    """
    try:
        problem = seal_problem(MANIFEST, content)
        manifest = parse(Release, f"releases/{release}/{MANIFEST}", content)
    except (ContentError, RegistryError) as error:
        raise DamagedReleaseError(release, [str(error)]) from None
    if manifest.id != release:
        problem = f"{MANIFEST} is that of {manifest.id}"
    problems = [problem] if problem else file_problems(manifest.listing())
    if problems:
        raise DamagedReleaseError(release, problems)
    return manifest


def described(content: bytes | Path) -> StoredFile:
    """What a manifest says of a file with this content."""
    if isinstance(content, bytes):
        return StoredFile(sha256=digest(content), bytes=len(content))
    return StoredFile(sha256=digest_file(content), bytes=content.stat().st_size)


def check_servable(where: str, release: Release, read: Callable[[str], bytes]) -> None:
    """Make sure of a release that is to be published that its documents agree and its graphs may
    be run.

    Raises:
        CandidateError: they do not; the message begins with `where`.
    """
    problems = file_problems(release.listing()) or disagreements(release.model_dump(), read)
    if problems:
        raise CandidateError(f"{where}{problems[0]}; run the pipeline again")
    check_graphs(release, read)


def check_graphs(release: Release, read: Callable[[str], bytes]) -> None:
    """Make sure that the graph of every student is one that may be served.

    Raises:
        CandidateError: one is not.
    """
    for student in release.students:
        path = f"students/{student}/{GRAPH}"
        check_model(path, read(path))
