"""The candidate: the family of students assembled, with an id that names its content.

The id is a hash of the models, the router, the encoder, the settings and the raw data. What was
measured (metrics, verdict) travels along and is not in the id, because a measurement of time
never repeats exactly.
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

NOT_SHIPPED = ("model.safetensors",)
CONTENT: dict[str, type] = {  # of candidate.json, besides its seal
    **dict.fromkeys(("id", "source", "data", "params"), str),
    **dict.fromkeys(("students", "files", "raw"), dict),
    **{"folded": list, "passed": bool},
}
# blocks of params that change no byte of a model
WITHOUT_EFFECT = {"registry", "serve", "schedule", "tune"}
FOR_PEOPLE = {"features": {"impute", "interest_tags"}}  # of the profiles of groups


class CandidateError(ValueError):
    """The candidate cannot be assembled or is not what it says it is."""


@dataclass(frozen=True)
class Parts:
    """Where the pieces of a candidate lie."""

    bundles: Path  # <student>/int8/{manifest.json, …}
    router: Path
    encoder: Path
    verdict: Path
    metrics: Path
    raw: Path  # {path: sha256} of the files that were ingested


def assemble(parts: Parts, params: Params, destination: Path) -> dict[str, Any]:
    """Copy the family that ships into the empty folder `destination`, `candidate.json` last.

    Args:
        parts: the router is `{"students": {name: {where, priority}}, "folded": [name]}`, the
            verdict `{"passed": bool, "segments": {name: {"ships": bool, "reason": str}}}`.
        params: the settings that made the family.
        destination: becomes students/<name>/…, router.json, encoder.json, verdict.json,
            metrics.json, candidate.json.

    Returns:
        What candidate.json holds: id, source, students, folded, passed, files, data, params, raw,
        and its seal.

    Raises:
        CandidateError: a bundle is incomplete or changed, its graph may not be served, or the gate
            did not decide on a student.
    """
    verdict, router = read_json(parts.verdict), read_json(parts.router)
    ships = shipped(router, verdict)
    for name in ships:
        copy_bundle(parts.bundles / name / "int8", destination / "students" / name)
    router = family_router(router, ships)
    write_json(destination / "router.json", router)
    for name in ("encoder", "verdict", "metrics"):
        shutil.copyfile(getattr(parts, name), destination / f"{name}.json")
    raw = read_json(parts.raw)
    candidate = {
        "source": params.source,
        "students": {name: router["students"].get(name, {}) for name in ships},
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


def shipped(router: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    """The students that ship: general, and each unfolded segment's that the gate let through.

    Raises:
        CandidateError: the verdict says nothing about a segment that is not folded.
    """
    gone = {GENERAL, *router["folded"]}
    waiting = sorted(name for name in router["students"] if name not in gone)
    decided = verdict.get("segments", {})
    unknown = [name for name in waiting if name not in decided]
    if unknown:
        raise CandidateError(
            f"the gate's verdict says nothing about {', '.join(unknown)}: run the gate again"
        )
    return [GENERAL, *(name for name in waiting if decided[name].get("ships") is True)]


def family_router(router: Mapping[str, Any], ships: Iterable[str]) -> dict[str, Any]:
    """The router with every segment that has no student of its own named as folded.

    Their rules stay: without them their users would fall to a rule of lower priority, while the
    evaluation, and so the gate, has seen them served by general.
    """
    gone = set(router["folded"]) | set(router["students"]) - set(ships)
    return {**router, "folded": sorted(gone)}


def copy_bundle(source: Path, destination: Path) -> None:
    """Copy a complete bundle without the files that stay with the pipeline.

    Raises:
        CandidateError: no manifest, a file is missing or not what the manifest says, or the graph
            may not be served.
    """
    if not (source / "manifest.json").is_file():
        raise CandidateError(f"{short(source)} is not a complete bundle: it has no manifest.json")
    manifest = read_json(source / "manifest.json")
    files = {name: sha for name, sha in manifest["files"].items() if name not in NOT_SHIPPED}
    lacking = [name for name in IDENTITY_FILES if name not in files]
    if lacking:
        raise CandidateError(f"{short(source)} has no {', '.join(lacking)}")
    destination.mkdir(parents=True)
    for name, sha in files.items():
        if "/" in name or not is_plain(name):
            raise CandidateError(f"{short(source)}: {name!a} is not an allowed file name")
        if not _is(source / name, sha):
            raise CandidateError(
                f"{short(source / name)} is missing or was changed since it was made"
            )
        shutil.copyfile(source / name, destination / name)
    check_model(short(source / GRAPH), (destination / GRAPH).read_bytes())
    write_json(destination / "manifest.json", {**manifest, "files": files})


def check_model(name: str, content: bytes) -> None:
    """Check that a graph may be served.

    Raises:
        CandidateError: it may not; the message names the operator or the tensor.
    """
    from decant.runtime.graph_check import check_graph

    try:
        check_graph(content)
    except BundleError as error:
        raise CandidateError(f"{name}: {error}") from None


def check_candidate(folder: Path) -> dict[str, Any]:
    """Read candidate.json and check every file and the id against it.

    Raises:
        CandidateError: it is missing; a file is missing, changed or additional; or the id does not
            match the content.
    """
    if not (folder / CANDIDATE).is_file():
        raise CandidateError(f"{short(folder)} has no candidate.json: `make run` makes one")
    candidate = read_json(folder / CANDIDATE)
    wrong = [name for name, kind in CONTENT.items() if not isinstance(candidate.get(name), kind)]
    files = {} if wrong else candidate["files"]
    lacking = [*wrong, *(name for name in ("router.json", "encoder.json") if name not in files)]
    if lacking:
        raise CandidateError(
            f"{short(folder)}/candidate.json does not say what it is made of: no {lacking[0]}"
        )
    bad = name_problems(files) or [
        path for path, sha in files.items() if not _is(folder / path, sha)
    ]
    if bad:
        raise CandidateError(
            f"{short(folder)}: {len(bad)} file(s) missing or changed since it was assembled, "
            f"first {bad[0]}; run the pipeline again"
        )
    more = sorted({*digest_tree(folder)} - {*files, CANDIDATE})
    if more:
        raise CandidateError(
            f"{short(folder)}: {len(more)} additional file(s), first {more[0]}; "
            "remove them or run the pipeline again"
        )
    if candidate_id(candidate) != candidate["id"]:
        raise CandidateError(f"{short(folder)}/candidate.json: the id is not that of its content")
    return candidate


def params_digest(params: Params) -> str:
    """sha256 of the settings that can change a model, as far as they have an effect and differ from
    the defaults: a setting that a later version adds leaves the ids of earlier releases alone."""
    usual = Params().model_dump(mode="json", by_alias=True)
    changed: dict[str, Any] = {}
    for block, value in effective(params).items():
        if block == "students":
            changed |= params.model_dump(mode="json", include={block}, exclude_defaults=True)
        elif isinstance(value, dict):
            own = {n: v for n, v in value.items() if v != usual[block][n]}
            own = {n: v for n, v in own.items() if n not in FOR_PEOPLE.get(block, ())}
            if own and block not in WITHOUT_EFFECT:
                changed[block] = own
        elif value != usual[block]:
            changed[block] = value
    return digest(canonical(changed))


def _is(path: Path, sha: str) -> bool:
    return path.is_file() and digest_file(path) == sha
