"""A release leads back to the commit, the stages and the bytes of the raw data."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.release.records import DamagedReleaseError
from decant.release.registry import Registry
from decant.release.store import LocalStore
from decant.release.trace import describe, stages, trace

LOCK = """
schema: '2.0'
stages:
  ingest:
    cmd: python -m tasks.ingest
    deps:
    - {path: data/raw/demo, hash: md5, md5: aaaa.dir, size: 10}
    outs:
    - {path: data/ingested, hash: md5, md5: bbbb.dir, size: 20}
  raw:
    cmd: python -m tasks.raw
    outs:
    - {path: data/raw/demo, hash: md5, md5: aaaa.dir, size: 10}
"""
EXTRA = {
    "dvc.lock": LOCK.encode(),
    "params.yaml": b"seed: 3\n",
    "provenance.json": b'{"commit": "c0ffee", "dirty": true, "changed": ["a.py"]}',
    "comparison.json": b'{"passed": true, "why": "nothing is in production yet"}',
}

MakeCandidate = Callable[..., Path]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry in a folder."""
    return Registry(LocalStore(tmp_path / "registry"))


def test_a_release_is_traced_to_the_raw_bytes(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    registry.promote(release, reason="first", actor="ann")
    registry.promote(release, "canary", actor="bob")
    result = trace(registry, release[:7])
    assert result["release"] == release
    raw = hashlib.sha256(b"user,item").hexdigest()
    assert result["data"]["files"] == {"views.csv": raw}
    assert result["data"]["source"] == "demo"
    assert result["code"]["commit"] == "c0ffee"
    assert result["params"] == {"seed": 3}
    assert result["stages"]["ingest"] == {
        "deps": {"data/raw/demo": "aaaa.dir"},
        "outs": {"data/ingested": "bbbb.dir"},
    }
    assert result["students"]["women"]["where"] == "gender == 'F'"
    assert result["verdict"]["passed"] is True
    assert [(m["channel"], m["by"]) for m in result["channels"]] == [
        ("canary", "bob"),
        ("production", "ann"),
    ]
    assert json.loads(json.dumps(result)) == result


def test_a_person_can_read_it(registry: Registry, make_candidate: MakeCandidate) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    text = describe(trace(registry, release))
    for part in (release, "c0ffee, 1 file(s) changed since", "never promoted", "views.csv", "men"):
        assert part in text
    assert "    <- aaaa.dir  data/raw/demo" in text


def test_the_settings_that_made_it_are_readable(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    params = b"""
source: files
seed: 3
raw: {users: 4000}
ingest: {events: e.csv, time: null}
teacher: {dimension: 128, inputs: [item, text]}
students: {general: {init: teacher}, women: {init: general, where: "gender == 'F'"}}
schedule: {cron: 0 3 * * *}
"""
    release = registry.publish(make_candidate(), {**EXTRA, "params.yaml": params})
    lines = describe(trace(registry, release)).splitlines()
    start = lines.index("settings   (params.yaml)")
    assert lines[start + 1 : start + 8] == [
        "  source    files",
        "  seed      3",
        "  ingest    events e.csv",
        "  teacher   dimension 128, inputs [item, text]",
        "  students.general init teacher",
        "  students.women init general, where gender == 'F'",
        next(line for line in lines if line.startswith("data ")),
    ]


def test_a_failed_release_is_traced_too(registry: Registry, make_candidate: MakeCandidate) -> None:
    release = registry.publish(make_candidate(passed=False), {}, failed_too=True)
    result = trace(registry, release)
    assert result["code"] == result["params"] == result["stages"] == {}
    assert "failed: retention" in describe(result)


def test_a_forged_origin_is_not_told(registry: Registry, make_candidate: MakeCandidate) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    assert isinstance(registry.store, LocalStore)
    path = registry.store.folder / "releases" / release / "provenance.json"
    path.write_text('{"commit": "another"}')
    with pytest.raises(DamagedReleaseError, match=r"provenance\.json was changed"):
        trace(registry, release)


def test_what_is_no_yaml_is_left_out(
    registry: Registry, make_candidate: MakeCandidate, caplog: pytest.LogCaptureFixture
) -> None:
    release = registry.publish(
        make_candidate(), {**EXTRA, "dvc.lock": b"a: [", "params.yaml": b"["}
    )
    result = trace(registry, release)
    assert result["stages"] == result["params"] == {}
    assert f"dvc.lock of release {release} is ignored, not YAML" in caplog.text


@pytest.mark.parametrize("lock", [{}, {"stages": None}, {"stages": []}])
def test_a_lock_without_stages_has_none(lock: dict[str, Any]) -> None:
    assert stages(lock) == {}
