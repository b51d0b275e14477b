"""Manifests of releases: reading, writing, and the checks before a release is published."""

from collections.abc import Callable
from pathlib import Path

from decant.files import ContentError, digest, digest_file, readable
from decant.models.bundle import GRAPH
from decant.release.agreement import disagreements
from decant.release.candidate import CandidateError, check_model
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
    """Serialise a manifest with its seal."""
    return readable(sealed(release.model_dump(mode="json", exclude_none=False)))


def read_manifest(release: str, content: bytes) -> Release:
    """Parse and check a manifest.

    Raises:
        DamagedReleaseError: the manifest was changed, belongs to another release, or lists
            forbidden file names.
    """
    try:
        problem = seal_problem(MANIFEST, content)
        manifest = parse(Release, f"releases/{release}/{MANIFEST}", content)
    except (ContentError, RegistryError) as error:
        raise DamagedReleaseError(release, [str(error)]) from None
    if manifest.id != release:
        problem = f"{MANIFEST} belongs to {manifest.id}"
    problems = [problem] if problem else file_problems(manifest.listing())
    if problems:
        raise DamagedReleaseError(release, problems)
    return manifest


def described(content: bytes | Path) -> StoredFile:
    """The manifest entry of a file with this content."""
    if isinstance(content, bytes):
        return StoredFile(sha256=digest(content), bytes=len(content))
    return StoredFile(sha256=digest_file(content), bytes=content.stat().st_size)


def check_servable(where: str, release: Release, read: Callable[[str], bytes]) -> None:
    """Check names, documents and graphs of a release before it is published.

    Raises:
        CandidateError: one of them is invalid; the message starts with `where`.
    """
    problems = file_problems(release.listing()) or disagreements(release.model_dump(), read)
    if problems:
        raise CandidateError(f"{where}{problems[0]}; run the pipeline again")
    check_graphs(release, read)


def check_graphs(release: Release, read: Callable[[str], bytes]) -> None:
    """Check the graph of every student.

    Raises:
        CandidateError: a graph is not allowed.
    """
    for student in release.students:
        path = f"students/{student}/{GRAPH}"
        check_model(path, read(path))
