"""Publish the candidate: compare it with production, add its origin, copy it to the registry."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from decant.files import ContentError, parse_json, readable
from decant.params.load import Params, ParamsError, load_params, parse_params
from decant.release.candidate import check_candidate, params_digest
from decant.release.provenance import provenance
from decant.release.records import (
    DamagedReleaseError,
    GateFailedError,
    RegistryError,
    UnknownReleaseError,
)
from decant.release.registry import Registry, open_registry
from decant.release.regression import Comparison, Evidence, compare
from decant.release.store import DAMAGED_KEY, StoreError

logger = logging.getLogger(__name__)


class NotPublishableError(ValueError):
    """The workspace lacks a part of a release, or its parts do not match."""


@dataclass(frozen=True)
class PublishResult:
    """Outcome of a publication."""

    release: str
    published: bool  # the release is in the registry
    new: bool  # it was not there before this publication
    reasons: tuple[str, ...]  # against promotion; empty: promotion is allowed
    students: tuple[str, ...]
    folded: tuple[str, ...]
    comparison: Comparison
    held: tuple[str, ...] = ()  # sure losses on the test window, for a person to judge

    @property
    def promotable(self) -> bool:
        """Whether it is in the registry and may be promoted without review."""
        return self.published and not self.reasons and not self.review

    @property
    def review(self) -> str:
        """What a person has to review before a promotion, empty if nothing."""
        unknown = (self.comparison.why,) if self.comparison.by_hand else ()
        return "; ".join((*self.held, *unknown))


def publish(root: Path, params: Params, *, failed_too: bool = False) -> PublishResult:
    """Copy data/candidate into the registry, with dvc.lock, params.yaml and its provenance.

    A candidate that failed the gate or is worse than production is not copied, unless
    `failed_too` is set: then it can be inspected, but never promoted.

    Raises:
        CandidateError, NotPublishableError: no candidate, or one of other settings.
        StoreError: the registry is unreachable or unusable.
    """
    registry = open_registry(params.registry, root)
    folder = root / "data" / "candidate"
    candidate = check_candidate(folder)
    extra = origin(root, candidate)
    new = evidence(candidate["id"], extra["params.yaml"], (folder / "verdict.json").read_bytes())
    comparison = against_production(registry, new, params.gate.max_production_drop)
    extra["comparison.json"] = readable(comparison.document())
    there = candidate["id"] in registry.ids()
    reasons: list[str] = []
    try:
        registry.publish(folder, extra)
    except GateFailedError as error:
        reasons = error.reasons
        if failed_too:
            registry.publish(folder, extra, failed_too=True)
    published = failed_too or not reasons
    return PublishResult(
        release=candidate["id"],
        published=there or published,
        new=published and not there,
        reasons=tuple(reasons),
        students=tuple(sorted(candidate["students"])),
        folded=tuple(candidate["folded"]),
        comparison=comparison,
        held=tuple(map(str, new.verdict.get("held", []))),
    )


def origin(root: Path, candidate: dict[str, Any]) -> dict[str, bytes]:
    """Files that record a candidate's origin: dvc.lock, params.yaml, provenance.json.

    Raises:
        NotPublishableError: a file is missing, or params.yaml has changed since.
    """
    for name in ("dvc.lock", "params.yaml"):
        if not (root / name).is_file():
            raise NotPublishableError(
                f"{name} is missing: run the pipeline in the project's folder"
            )
    if params_digest(load_params(root / "params.yaml")) != candidate["params"]:
        raise NotPublishableError(
            "params.yaml has changed since data/candidate was made: run the pipeline again"
        )
    return {
        "dvc.lock": (root / "dvc.lock").read_bytes(),
        "params.yaml": (root / "params.yaml").read_bytes(),
        "provenance.json": readable(provenance(root)),
    }


def against_production(registry: Registry, new: Evidence, limit: float) -> Comparison:
    """Compare the candidate with the release that production points at.

    If the pointer is damaged, the last release in the channel's history is used. If that is
    unknown, damaged or missing, the candidate may be published, but a person has to promote it. A
    candidate already in production passes.
    """
    pointer = registry.pointer()
    if pointer.problem:
        logger.warning("%s", pointer.summary())
    if not pointer.certain:
        return _needs_review(pointer.summary(), pointer.release)
    if pointer.release is None or pointer.release == new.release:
        return compare(new, new if pointer.release else None, limit)
    try:
        release = registry.release(pointer.release)
        settings, verdict = (registry.read(release, n) for n in ("params.yaml", "verdict.json"))
        return compare(new, evidence(release.id, settings, verdict), limit)
    except (DamagedReleaseError, UnknownReleaseError, ContentError, *DAMAGED_KEY) as error:
        return _needs_review(str(error), pointer.release)


def _needs_review(why: str, production: str | None) -> Comparison:
    return Comparison(True, f"no comparison with production: {why}", production, by_hand=True)


def registry_trouble(root: Path, params: Params) -> str | None:
    """A registry problem that could prevent publication or promotion, or None."""
    try:
        registry = open_registry(params.registry, root)
        registry.store.probe()
        pointer = registry.pointer()
    except (RegistryError, StoreError, OSError) as error:
        return str(error)
    return f"{pointer.summary()}; {pointer.advice()}" if pointer.problem else None


def evidence(release: str, settings: bytes, verdict: bytes) -> Evidence:
    """Evidence about a release, from its settings and verdict."""
    try:
        params = parse_params(yaml.safe_load(settings))
    except (ParamsError, yaml.YAMLError):
        params = None
    return Evidence(release, params, parse_json("verdict.json", verdict))


def describe(result: PublishResult) -> str:
    """The outcome in Markdown."""
    if result.reasons:
        state = "published for inspection" if result.published else "not published"
    else:
        state = "published" if result.new else "already published"
    return "\n".join(
        [
            f"**Release `{result.release}`**: {state}",
            "",
            f"- students: {', '.join(result.students)}",
            f"- served by general: {', '.join(result.folded) or 'no segment'}",
            f"- against production: {result.comparison.why}",
            *(f"- held for a person: {loss}" for loss in result.held),
            *(f"- cannot be promoted: {reason}" for reason in result.reasons),
        ]
    )


@task(name="publish", task_run_name="publish", persist_result=False, cache_policy=NO_CACHE)
def publish_task(root: Path, params: Params, *, failed_too: bool = False) -> PublishResult:
    """`publish` as a Prefect task, with its outcome as an artifact."""
    result = publish(root, params, failed_too=failed_too)
    create_markdown_artifact(key="publish", markdown=describe(result), description=result.release)
    return result
