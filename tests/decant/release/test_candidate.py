"""The candidate holds what ships, and its id is that of its content."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.params.load import Params, parse_params
from decant.release.candidate import (
    CandidateError,
    Parts,
    assemble,
    check_candidate,
    params_digest,
)
from decant.release.identity import candidate_id

MakeParts = Callable[..., Parts]
SETTINGS: dict[str, Any] = {"source": "demo", "seed": 3}


def made(parts: Parts, folder: Path, params: Params | None = None) -> dict[str, Any]:
    folder.mkdir()
    return assemble(parts, params or parse_params(SETTINGS), folder)


def test_it_holds_the_students_that_ship_and_the_evidence(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    candidate = made(make_parts(), tmp_path / "out")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    bundle = {"model.onnx", "config.json", "items.json", "metrics.json", "manifest.json"}
    assert names == {
        *(f"students/{student}/{name}" for student in ("general", "women") for name in bundle),
        *("router.json", "encoder.json", "verdict.json", "metrics.json", "candidate.json"),
    }
    assert set(candidate["files"]) == names - {"candidate.json"}
    assert candidate == check_candidate(tmp_path / "out")
    assert candidate["students"] == {
        "general": {},
        "women": {"where": "gender == 'F'", "priority": 0},
    }


def test_the_router_keeps_every_rule_and_names_what_general_serves(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    candidate = made(make_parts(), tmp_path / "out")
    router = json.loads((tmp_path / "out" / "router.json").read_text())
    assert set(router["students"]) == {"women", "men"}
    assert router["folded"] == candidate["folded"] == ["men", "tiny"]


def test_a_bundles_manifest_lists_what_was_copied(make_parts: MakeParts, tmp_path: Path) -> None:
    made(make_parts(), tmp_path / "out")
    bundle = tmp_path / "out" / "students" / "general"
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    assert "model.safetensors" not in files
    for name, sha in files.items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == sha


def test_the_same_content_gives_the_same_id_and_bytes(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    one = made(make_parts("one"), tmp_path / "a")
    other = made(make_parts("other"), tmp_path / "b")
    assert one["id"] == other["id"]
    assert len(one["id"]) == 16
    assert int(one["id"], 16)
    assert (tmp_path / "a/candidate.json").read_bytes() == (
        tmp_path / "b/candidate.json"
    ).read_bytes()


def test_models_router_encoder_params_and_data_change_the_id(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    ids = [made(make_parts("plain"), tmp_path / "0")["id"]]
    ids.append(made(make_parts("model", model="other"), tmp_path / "1")["id"])
    ids.append(made(make_parts("router", ships=("women", "men")), tmp_path / "2")["id"])
    encoder, raw = make_parts("encoder"), make_parts("raw")
    encoder.encoder.write_text('{"items": 4}')
    ids.append(made(encoder, tmp_path / "3")["id"])
    raw.raw.write_text('{"views.csv": "0"}')
    ids.append(made(raw, tmp_path / "4")["id"])
    settings = parse_params({**SETTINGS, "seed": 4})
    ids.append(made(make_parts("params"), tmp_path / "5", settings)["id"])
    assert len(set(ids)) == 6


def test_another_rule_alone_changes_the_id(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts("rule")
    router = json.loads(parts.router.read_text())
    router["students"]["men"]["where"] = "gender != 'F'"  # general serves them in both
    parts.router.write_text(json.dumps(router))
    other = made(parts, tmp_path / "b")
    plain = made(make_parts("plain"), tmp_path / "a")
    assert other["students"] == plain["students"]
    assert other["id"] != plain["id"]


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "items.json"])
def test_every_file_that_answers_a_request_changes_the_id(name: str) -> None:
    files = {"router.json": "r", "encoder.json": "e", f"students/general/{name}": "1"}
    candidate = {"files": files, "params": "p", "data": "d"}
    changed = {**candidate, "files": {**files, f"students/general/{name}": "2"}}
    assert candidate_id(candidate) != candidate_id(changed)


def test_evidence_and_where_releases_live_do_not_change_the_id(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    one = made(make_parts("one"), tmp_path / "a")
    elsewhere = parse_params(
        {
            **SETTINGS,
            "registry": {"folder": "elsewhere"},
            "schedule": {"cron": "0 4 * * *"},
            "serve": {"load_seconds": 7, "load_memory_mb": 512},
            "tune": {"trials": 3},
        }
    )
    other = made(make_parts("other", ndcg=0.5), tmp_path / "b", elsewhere)
    assert one["id"] == other["id"]
    assert one["files"]["metrics.json"] != other["files"]["metrics.json"]


def test_a_candidate_that_failed_the_gate_is_made_and_says_so(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    assert made(make_parts(passed=False), tmp_path / "out")["passed"] is False


@pytest.mark.parametrize("passed", ["yes", None, 1])
def test_anything_but_true_is_no_pass(make_parts: MakeParts, tmp_path: Path, passed: Any) -> None:
    assert made(make_parts(passed=passed), tmp_path / "out")["passed"] is False


def test_a_segment_without_a_verdict_is_an_error(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    parts.verdict.write_text('{"passed": true, "segments": {"women": {"ships": true}}}')
    with pytest.raises(CandidateError, match="verdict lacks men"):
        made(parts, tmp_path / "out")


def test_a_bundle_without_manifest_is_incomplete(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    (parts.bundles / "women/int8/manifest.json").unlink()
    with pytest.raises(CandidateError, match="compressed/women/int8 is not a complete bundle"):
        made(parts, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "items.json"])
def test_a_bundle_without_one_of_its_files_is_incomplete(
    make_parts: MakeParts, tmp_path: Path, name: str
) -> None:
    parts = make_parts()
    manifest = parts.bundles / "women/int8/manifest.json"
    content = json.loads(manifest.read_text())
    del content["files"][name]
    manifest.write_text(json.dumps(content))
    with pytest.raises(CandidateError, match=f"women/int8 has no {name}"):
        made(parts, tmp_path / "out")


def test_a_changed_bundle_is_noticed(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    (parts.bundles / "women/int8/model.onnx").write_text("changed")
    with pytest.raises(CandidateError, match=r"women/int8/model\.onnx is missing, or was changed"):
        made(parts, tmp_path / "out")


def test_a_changed_candidate_is_noticed(make_parts: MakeParts, tmp_path: Path) -> None:
    candidate = made(make_parts(), tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "forged")
    (tmp_path / "out" / "encoder.json").write_text("{}")
    with pytest.raises(CandidateError, match=r"1 file\(s\) missing or changed .*encoder\.json"):
        check_candidate(tmp_path / "out")
    forged = {**candidate, "data": "0" * 64}
    (tmp_path / "forged" / "candidate.json").write_text(json.dumps(forged))
    with pytest.raises(CandidateError, match="the id does not match its content"):
        check_candidate(tmp_path / "forged")


def test_a_file_that_nobody_assembled_is_noticed(make_parts: MakeParts, tmp_path: Path) -> None:
    made(make_parts(), tmp_path / "out")
    (tmp_path / "out" / "students" / "general" / "extra.bin").write_bytes(b"extra")
    with pytest.raises(
        CandidateError, match=r"1 additional file\(s\), first students/general/extra"
    ):
        check_candidate(tmp_path / "out")


def test_no_candidate_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match=r"has no candidate\.json: `make run` creates one"):
        check_candidate(tmp_path)


def test_the_id_can_be_computed_again_from_candidate_json(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    candidate = made(make_parts(), tmp_path / "out")
    assert candidate_id(candidate) == candidate["id"]


def test_a_default_that_is_spelt_out_is_the_same_setting() -> None:
    assert params_digest(parse_params({})) == params_digest(parse_params({"seed": 7}))


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"distill": {"soft_weight": 0}}, {"distill": {"soft_weight": 0, "temperature": 2}}),
        ({"source": "files"}, {"raw": {"items": 99}, "features": {"merge_window": 9}}),
        ({}, {"teacher": {"negatives": 99}, "ingest": {"timezone": "Europe/Berlin"}}),
        ({}, {"registry": {"folder": "elsewhere"}, "serve": {"max_events": 9}}),
        ({}, {"features": {"impute": "mean", "interest_tags": 9}}),
    ],
)
def test_a_setting_without_effect_changes_no_id(
    settings: dict[str, Any], change: dict[str, Any]
) -> None:
    digests = {params_digest(parse_params(given)) for given in (settings, {**settings, **change})}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"distill": {"temperature": 2}},
        {"raw": {"items": 99}},
        {"embed": {"dimension": 9}},
        {"features": {"merge_window": 9}},
    ],
)
def test_one_with_an_effect_does(change: dict[str, Any]) -> None:
    assert params_digest(parse_params(change)) != params_digest(parse_params({}))
