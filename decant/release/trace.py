"""The origin of a release, down to the checksums of the raw data."""

import logging
from collections.abc import Mapping
from typing import Any

import yaml

from decant.files import parse_json
from decant.release.records import Release
from decant.release.registry import CHANNELS, Registry

logger = logging.getLogger(__name__)

READ_BY = {"raw": "demo", "ingest": "files"}  # blocks of params read only with one source


def trace(registry: Registry, given: str) -> dict[str, Any]:
    """All information on a release's origin, as one JSON document.

    Returns:
        release, published {at, by}, students {name: rule}, folded, passed, reasons, data {source,
        sha256, files {path: sha256}}, code (provenance.json), params, stages {name: {deps, outs:
        {path: md5}}}, verdict, comparison, channels [{channel, action, at, by, reason}].

    Raises:
        UnknownReleaseError, DamagedReleaseError
    """
    release = registry.release(given)
    candidate = _json(registry, release, "candidate.json")
    return {
        "release": release.id,
        "published": {"at": release.published_at.isoformat(), "by": release.published_by},
        "students": candidate.get("students", {}),
        "folded": release.folded,
        "passed": release.passed,
        "reasons": release.reasons,
        "data": {
            "source": release.source,
            "sha256": candidate.get("data"),
            "files": candidate.get("raw", {}),
        },
        "code": _json(registry, release, "provenance.json"),
        "params": _yaml(registry, release, "params.yaml"),
        "stages": stages(_yaml(registry, release, "dvc.lock")),
        "verdict": _json(registry, release, "verdict.json"),
        "comparison": _json(registry, release, "comparison.json"),
        "channels": _moves(registry, release.id),
    }


def stages(lock: Mapping[str, Any]) -> dict[str, Any]:
    """dvc.lock as `{stage: {"deps": {path: md5}, "outs": {path: md5}}}`."""
    listed = lock.get("stages")
    return {
        name: {side: _hashes(stage.get(side, [])) for side in ("deps", "outs")}
        for name, stage in (listed if isinstance(listed, dict) else {}).items()
    }


def describe(document: Mapping[str, Any]) -> str:
    """Format a trace as lines of text."""
    code, data = document["code"], document["data"]
    changed = f", {len(code['changed'])} file(s) changed since" if code.get("dirty") else ""
    moves = [f"{m['channel']}: {m['action']} {m['at']} by {m['by']}" for m in document["channels"]]
    verdict = "passed" if document["passed"] else f"failed: {'; '.join(document['reasons'])}"
    lines = [
        f"release    {document['release']}",
        f"published  {document['published']['at']} by {document['published']['by']}",
        f"verdict    {verdict}",
        f"code       {code.get('commit') or 'unknown commit'}{changed}",
        f"students   {', '.join(sorted(document['students']))}",
        *([f"by general {', '.join(document['folded'])}"] if document["folded"] else []),
        *(f"channel    {move}" for move in moves or ["never promoted"]),
        *(["settings   (params.yaml)"] if document["params"] else []),
        *settings(document["params"]),
        f"data       {data['source']}, sha256 {data['sha256']}",
        *(f"  {sha}  {path}" for path, sha in sorted(data["files"].items())),
        "stages     (inputs <-, outputs ->; md5)",
    ]
    for name, stage in document["stages"].items():
        lines.append(f"  {name}")
        lines += [f"    <- {md5}  {path}" for path, md5 in stage["deps"].items()]
        lines += [f"    -> {md5}  {path}" for path, md5 in stage["outs"].items()]
    return "\n".join(lines)


def settings(params: Mapping[str, Any]) -> list[str]:
    """The settings that affect a release: a line for each block and for each student."""
    source = params.get("source")
    unread = {"registry", "serve", "schedule", "tune"}  # not about the release itself
    unread |= {block for block, reader in READ_BY.items() if source != reader}
    blocks = {name: value for name, value in params.items() if name not in unread}
    students = {f"students.{name}": values for name, values in blocks.pop("students", {}).items()}
    return [f"  {name:<9} {spelled(value)}" for name, value in {**blocks, **students}.items()]


def spelled(value: Any) -> str:
    """A setting or a block on one line, without null values."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {spelled(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


def _hashes(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    return {entry["path"]: str(entry.get("md5") or entry.get("etag") or "") for entry in entries}


def _moves(registry: Registry, release: str) -> list[dict[str, Any]]:
    shown = {"channel", "action", "at", "by", "reason"}
    return [
        change.model_dump(mode="json", include=shown)
        for channel in sorted({*CHANNELS, *registry.channels()})
        for change in registry.history(channel)
        if change.release == release
    ]


def _json(registry: Registry, release: Release, name: str) -> dict[str, Any]:
    if name not in release.files:
        return {}
    return parse_json(name, registry.read(release, name))


def _yaml(registry: Registry, release: Release, name: str) -> dict[str, Any]:
    if name not in release.files:
        return {}
    try:
        parsed = yaml.safe_load(registry.read(release, name))
    except yaml.YAMLError as error:
        logger.warning("%s of release %s is ignored, not YAML: %s", name, release.id, error)
        return {}
    return parsed if isinstance(parsed, dict) else {}
