"""Consistency of a release's documents: the manifest, candidate.json, router.json, the gate's
verdict, and the manifest of each student's bundle.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from decant.features.segments import GENERAL
from decant.files import ContentError, canonical, digest, parse_json
from decant.release.identity import IDENTITY_FILES, candidate_id
from decant.release.names import MANIFEST, STUDENTS, name_problems
from decant.release.seal import seal_problem

CANDIDATE, ROUTER, ENCODER, VERDICT = (
    "candidate.json",
    "router.json",
    "encoder.json",
    "verdict.json",
)
COMPARISON = "comparison.json"
LARGEST = 16_000_000  # bytes of a document
Read = Callable[[str], bytes]  # path of a release's file -> its verified bytes
Document = Mapping[str, Any]


def disagreements(manifest: Document, read: Read) -> list[str]:
    """List the contradictions between the documents of a release, one line each.

    Args:
        manifest: `{id, source, students, folded, passed, reasons, files: {path: {sha256, bytes}}}`.
    """
    files = manifest["files"]
    missing = [name for name in (CANDIDATE, ROUTER, ENCODER, VERDICT) if name not in files]
    if missing:
        return [f"{name} is missing" for name in missing]
    try:
        return list(_disagreements(manifest, read))
    except (ContentError, LookupError, TypeError, AttributeError) as error:
        return [f"its documents cannot be read: {' '.join(str(error).split())}"]


def passes(verdict: Document, comparison: Document | None) -> bool:
    """Whether the gate and the comparison with production passed; only `true` counts."""
    return verdict.get("passed") is True and (
        comparison is None or comparison.get("passed") is True
    )


def _disagreements(manifest: Document, read: Read) -> Iterator[str]:
    files: Document = manifest["files"]
    candidate, router, verdict = (_document(n, files, read) for n in (CANDIDATE, ROUTER, VERDICT))
    comparison = _document(COMPARISON, files, read) if COMPARISON in files else None
    yield from _about_candidate(candidate, read(CANDIDATE))
    if candidate_id(candidate) != manifest["id"]:
        yield f"its content has the id {candidate_id(candidate)}"
    yield from _about_files(files, candidate)
    for field in ("source", "students", "folded"):
        value = candidate[field] if field == "source" else sorted(candidate[field])
        if manifest[field] != value:
            yield f"{MANIFEST} has the {field} {manifest[field]}, {CANDIDATE} {value}"
    passed = passes(verdict, comparison)
    if manifest["passed"] is not passed or bool(manifest["reasons"]) is passed:
        yield f"{MANIFEST} contradicts {VERDICT} or {COMPARISON}: passed is {manifest['passed']}"
    yield from _about_family(candidate, router, verdict)
    for student in manifest["students"]:
        yield from _about_bundle(student, files, read)


def _document(path: str, files: Document, read: Read) -> Document:
    if files[path]["bytes"] > LARGEST:
        raise ContentError(f"{path} has {files[path]['bytes']} bytes, more than {LARGEST}")
    return parse_json(path, read(path))


def _about_candidate(candidate: Document, content: bytes) -> Iterator[str]:
    problem = seal_problem(CANDIDATE, content)
    if problem:
        yield problem
    if digest(canonical(candidate["raw"])) != candidate["data"]:
        yield f"{CANDIDATE} lists raw data with another checksum"


def _about_files(files: Document, candidate: Document) -> Iterator[str]:
    assembled, students = candidate["files"], candidate[STUDENTS]
    yield from name_problems(assembled)
    for path, sha in assembled.items():
        if path not in files or files[path]["sha256"] != sha:
            yield f"{path} is not the file that was assembled"
    for path in files:
        _, inside, rest = path.partition("/")
        if inside and path not in assembled:
            yield f"{path} was not assembled"
        if inside and rest.partition("/")[0] not in students:
            yield f"{path} belongs to a student missing from {CANDIDATE}"


def _about_family(candidate: Document, router: Document, verdict: Document) -> Iterator[str]:
    """Contradictions about students and segments."""
    students, rules, folded = candidate[STUDENTS], router["students"], set(router["folded"])
    for name in sorted({GENERAL, *rules} - folded - {*students}):
        yield f"{ROUTER} names the student {name}, which the release lacks"
    for name, rule in students.items():
        if name != GENERAL and (name not in rules or name in folded):
            yield f"{CANDIDATE} names the student {name}, which {ROUTER} does not"
        elif rule != rules.get(name, {}):
            yield f"{CANDIDATE} and {ROUTER} have different rules of {name}"
        if name != GENERAL and verdict["segments"][name]["ships"] is not True:
            yield f"{VERDICT} does not accept the student {name}"
    if sorted(candidate["folded"]) != sorted(folded):
        yield f"{CANDIDATE} and {ROUTER} differ in the segments merged into general"
    if candidate["passed"] is not (verdict.get("passed") is True):
        yield f"{CANDIDATE} contradicts {VERDICT}: passed is {candidate['passed']}"


def _about_bundle(student: str, files: Document, read: Read) -> Iterator[str]:
    folder = f"{STUDENTS}/{student}/"
    bundle = {path.removeprefix(folder): path for path in files if path.startswith(folder)}
    for name in (MANIFEST, *IDENTITY_FILES):
        if name not in bundle:
            yield f"{folder}{name} is missing"
            return
    listed = _document(bundle.pop(MANIFEST), files, read)["files"]
    if listed != {name: files[path]["sha256"] for name, path in bundle.items()}:
        yield f"{folder}{MANIFEST} does not match the files of {student}"
