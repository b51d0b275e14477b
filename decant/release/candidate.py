"""The candidate: the accepted students, assembled, with an id derived from the content.

The id is a hash of the models, the router, the encoder, the settings and the raw data. Measurements
(metrics, verdict) are included but not part of the id, because times never repeat exactly.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decant.files import canonical, digest, digest_file, digest_tree, read_json, short, write_json
from decant.models.bundle import GRAPH, BundleError
from decant.params.effects import effective
from decant.params.load import Params
from decant.params.types import GENERAL
from decant.release.agreement import CANDIDATE
from decant.release.identity import ID_LENGTH as ID_LENGTH  # others import it from here
from decant.release.identity import IDENTITY_FILES, candidate_id
from decant.release.names import is_plain, name_problems
from decant.release.seal import sealed

NOT_RELEASED = ("model.safetensors",)
CONTENT: dict[str, type] = {  # of candidate.json, besides its seal
    **dict.fromkeys(("id", "source", "data", "params"), str),
    **dict.fromkeys(("students", "files", "raw"), dict),
    **{"folded": list, "passed": bool},
}
# blocks of params that do not affect a model
WITHOUT_EFFECT = {"registry", "serve", "schedule", "tune"}
FOR_PEOPLE = {"features": {"impute", "interest_tags"}}  # they affect only the profiles of groups


class CandidateError(ValueError):
    """The candidate cannot be assembled, or its content contradicts candidate.json."""


@dataclass(frozen=True)
class Parts:
    """Paths of the parts of a candidate."""

    bundles: Path  # <student>/int8/{manifest.json, …}
    router: Path
    encoder: Path
    verdict: Path
    metrics: Path
    raw: Path  # {path: sha256} of the ingested files


def assemble(parts: Parts, params: Params, destination: Path) -> dict[str, Any]:
    """Copy the accepted students into the empty folder `destination`, `candidate.json` last.

    Args:
        parts: the router is `{"students": {name: {where, priority}}, "folded": [name]}`, the
            verdict `{"passed": bool, "segments": {name: {"ships": bool, "reason": str}}}`.
        params: the settings the models were made with.
        destination: becomes students/<name>/…, router.json, encoder.json, verdict.json,
            metrics.json, candidate.json.

    Returns:
        The content of candidate.json: id, source, students, folded, passed, files, data, params,
        raw, and its seal.

    Raises:
        CandidateError: a bundle is incomplete or changed, its graph must not be served, or the gate
            did not decide on a student.
    """
    verdict, router = read_json(parts.verdict), read_json(parts.router)
    students = accepted_students(router, verdict)
    for name in students:
        copy_bundle(parts.bundles / name / "int8", destination / "students" / name)
    router = router_of(router, students)
    write_json(destination / "router.json", router)
    for name in ("encoder", "verdict", "metrics"):
        shutil.copyfile(getattr(parts, name), destination / f"{name}.json")
    raw = read_json(parts.raw)
    candidate = {
        "source": params.source,
        "students": {name: router["students"].get(name, {}) for name in students},
        "folded": router["folded"],
        "passed": verdict.get("passed") is True,
        "files": digest_tree(destination),
        "raw": raw,
        "data": digest(canonical(raw)),
        "params": params_digest(params),
    }
    candidate["id"] = candidate_id(candidate)
    candidate = sealed(candidate)
    write_json(destination / CANDIDATE, candidate)
    return candidate


def accepted_students(router: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    """The students to release: general, and those of segments that the gate accepted.

    Raises:
        CandidateError: the verdict lacks a segment that is not merged into general.
    """
    excluded = {GENERAL, *router["folded"]}
    segments = sorted(name for name in router["students"] if name not in excluded)
    decisions = verdict.get("segments", {})
    undecided = [name for name in segments if name not in decisions]
    if undecided:
        raise CandidateError(f"the gate's verdict lacks {', '.join(undecided)}: run the gate again")
    return [GENERAL, *(name for name in segments if decisions[name].get("ships") is True)]


def router_of(router: Mapping[str, Any], students: Iterable[str]) -> dict[str, Any]:
    """The router of a release, with every segment that is not in `students` merged into general.

    Their rules stay: without them their users would match a rule of lower priority, while the
    evaluation and the gate measured them with general.
    """
    merged = set(router["folded"]) | set(router["students"]) - set(students)
    return {**router, "folded": sorted(merged)}


def copy_bundle(source: Path, destination: Path) -> None:
    """Copy a complete bundle without the files that are not released.

    Raises:
        CandidateError: no manifest, a file is missing or differs from it, or the graph must not
            be served.
    """
    if not (source / "manifest.json").is_file():
        raise CandidateError(f"{short(source)} is not a complete bundle: it has no manifest.json")
    manifest = read_json(source / "manifest.json")
    files = {name: sha for name, sha in manifest["files"].items() if name not in NOT_RELEASED}
    missing = [name for name in IDENTITY_FILES if name not in files]
    if missing:
        raise CandidateError(f"{short(source)} has no {', '.join(missing)}")
    destination.mkdir(parents=True)
    for name, sha in files.items():
        if "/" in name or not is_plain(name):
            raise CandidateError(f"{short(source)}: {name!a} is not an allowed file name")
        if not _is(source / name, sha):
            raise CandidateError(
                f"{short(source / name)} is missing, or was changed after its stage"
            )
        shutil.copyfile(source / name, destination / name)
    check_model(short(source / GRAPH), (destination / GRAPH).read_bytes())
    write_json(destination / "manifest.json", {**manifest, "files": files})


def check_model(name: str, content: bytes) -> None:
    """Check that a graph may be served.

    Raises:
        CandidateError: it must not; the message names the operator or the tensor.
    """
    from decant.runtime.graph_check import check_graph

    try:
        check_graph(content)
    except BundleError as error:
        raise CandidateError(f"{name}: {error}") from None


def check_candidate(folder: Path) -> dict[str, Any]:
    """Read candidate.json, and check all files and the id against it.

    Raises:
        CandidateError: it is missing; a file is missing, changed or additional; or the id does not
            match the content.
    """
    if not (folder / CANDIDATE).is_file():
        raise CandidateError(f"{short(folder)} has no candidate.json: `make run` creates one")
    candidate = read_json(folder / CANDIDATE)
    wrong = [name for name, kind in CONTENT.items() if not isinstance(candidate.get(name), kind)]
    files = {} if wrong else candidate["files"]
    missing = [*wrong, *(name for name in ("router.json", "encoder.json") if name not in files)]
    if missing:
        raise CandidateError(f"{short(folder)}/candidate.json is incomplete: no {missing[0]}")
    bad = name_problems(files) or [
        path for path, sha in files.items() if not _is(folder / path, sha)
    ]
    if bad:
        raise CandidateError(
            f"{short(folder)}: {len(bad)} file(s) missing or changed since it was assembled, "
            f"first {bad[0]}; run the pipeline again"
        )
    additional = sorted({*digest_tree(folder)} - {*files, CANDIDATE})
    if additional:
        raise CandidateError(
            f"{short(folder)}: {len(additional)} additional file(s), first {additional[0]}; "
            "remove them or run the pipeline again"
        )
    if candidate_id(candidate) != candidate["id"]:
        raise CandidateError(f"{short(folder)}/candidate.json: the id does not match its content")
    return candidate


def params_digest(params: Params) -> str:
    """sha256 of the settings that affect a model and differ from their defaults.

    Defaults are left out so that a setting added by a later version does not change existing ids.
    """
    defaults = Params().model_dump(mode="json", by_alias=True)
    changed: dict[str, Any] = {}
    for block, value in effective(params).items():
        if block == "students":
            changed |= params.model_dump(mode="json", include={block}, exclude_defaults=True)
        elif isinstance(value, dict):
            differing = {n: v for n, v in value.items() if v != defaults[block][n]}
            differing = {n: v for n, v in differing.items() if n not in FOR_PEOPLE.get(block, ())}
            if differing and block not in WITHOUT_EFFECT:
                changed[block] = differing
        elif value != defaults[block]:
            changed[block] = value
    return digest(canonical(changed))


def _is(path: Path, sha: str) -> bool:
    return path.is_file() and digest_file(path) == sha
