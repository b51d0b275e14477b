"""Publishing: compared with production, with its origin, and refused where it should be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tasks.publish
from decant.params.load import Params, load_params
from decant.release.candidate import CandidateError
from decant.release.registry import Registry, open_registry
from decant.release.store import StoreError
from tasks.candidate import run
from tasks.promote import promote
from tasks.publish import (
    NotPublishableError,
    PublishResult,
    describe,
    evidence,
    publish,
    publish_task,
    registry_trouble,
)
from tasks.runner.step import Workspace, run_step

MakeWorkspace = Callable[..., Path]


@pytest.fixture
def candidate(make_workspace: MakeWorkspace) -> Callable[..., tuple[Path, Params]]:
    """Make a workspace whose candidate is assembled; returns its folder and settings."""

    def make(**settings: Any) -> tuple[Path, Params]:
        root = make_workspace(**settings)
        params = load_params(root / "params.yaml")
        run_step(run, Workspace(root, params))
        return root, params

    return make


Candidate = Callable[..., tuple[Path, Params]]


def published(root: Path, params: Params, **options: Any) -> tuple[PublishResult, Registry]:
    return publish(root, params, **options), open_registry(params.registry, root)


def test_a_candidate_is_published_with_its_origin(candidate: Candidate) -> None:
    root, params = candidate()
    result, registry = published(root, params)
    assert result.promotable
    assert result.new
    release = registry.verify(result.release)
    assert {"dvc.lock", "params.yaml", "provenance.json", "comparison.json"} < set(release.files)
    assert "summary.json" not in release.files
    assert registry.read(release, "params.yaml") == (root / "params.yaml").read_bytes()
    assert "commit" in json.loads(registry.read(release, "provenance.json"))
    assert result.comparison.why == "nothing is in production yet"
    assert "general, women" in describe(result)


def test_publishing_alone_promotes_nothing(candidate: Candidate) -> None:
    _, registry = published(*candidate())
    assert registry.channel() is None


def test_publishing_again_is_no_news(candidate: Candidate) -> None:
    root, params = candidate()
    publish(root, params)
    again = publish(root, params)
    assert again.promotable
    assert not again.new
    assert "already published" in describe(again)


def test_a_candidate_that_failed_the_gate_is_refused_and_reported(candidate: Candidate) -> None:
    result, registry = published(*candidate(passed=False))
    assert not result.published
    assert not result.promotable
    assert result.reasons == (
        "retention: 80.00%, bound 70.00%, at least 90.00% is needed (family ÷ teacher)",
    )
    assert registry.releases() == []
    assert "not published" in describe(result)
    assert "cannot be promoted: retention" in describe(result)


def test_a_candidate_with_a_sure_loss_on_test_is_published_for_a_person_to_promote(
    candidate: Candidate,
) -> None:
    root, params = candidate(held=("women: its student loses 0.01 NDCG",))
    result, registry = published(root, params)
    assert result.published and not result.reasons
    assert not result.promotable
    assert result.review == "women: its student loses 0.01 NDCG"
    assert "held for a person: women" in describe(result)
    promote(root, params, result.release)
    assert registry.pointer().release == result.release


def test_a_failed_candidate_can_be_published_to_be_looked_at(candidate: Candidate) -> None:
    root, params = candidate(passed=False)
    result, registry = published(root, params, failed_too=True)
    assert result.published
    assert not result.promotable
    assert [release.passed for release in registry.releases()] == [False]
    with pytest.raises(ValueError, match="did not pass"):
        promote(root, params, result.release)


def test_a_candidate_worse_than_production_is_refused(candidate: Candidate) -> None:
    root, params = candidate(ndcg=0.40)
    first = publish(root, params)
    promote(root, params, first.release)
    candidate(model="new", ndcg=0.38)
    result, registry = published(root, params)
    assert not result.published
    assert result.comparison.drop == pytest.approx(0.05)
    assert result.comparison.production == first.release
    assert "5.0% below production's 0.4000" in result.reasons[0]
    assert registry.ids() == [first.release]


def test_a_candidate_a_little_worse_than_production_is_published(candidate: Candidate) -> None:
    root, params = candidate(ndcg=0.400)
    promote(root, params, publish(root, params).release)
    candidate(model="new", ndcg=0.395)
    result = publish(root, params)
    assert result.promotable
    assert result.new


def test_what_cannot_be_compared_is_said_and_does_not_block(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, params = candidate(ndcg=0.4)
    promote(root, params, publish(root, params).release)
    root, params = candidate(model="new", ndcg=0.1)
    settings = json.loads((root / "params.yaml").read_text()) | {"evaluate": {"k": 5}}
    (root / "params.yaml").write_text(json.dumps(settings))
    params = load_params(root / "params.yaml")
    run_step(run, Workspace(root, params))
    result = publish(root, params)
    assert result.promotable
    assert result.comparison.why == "not comparable with production: other evaluate.k"


@pytest.mark.parametrize("harm", ["verdict", "manifest", "gone"])
def test_beside_a_damaged_production_a_person_has_to_promote(
    candidate: Candidate, harm: str
) -> None:
    root, params, first = with_damaged_production(candidate, harm)
    candidate(model="new")
    result = publish(root, params)
    assert result.published and not result.promotable and not result.reasons
    assert first in result.comparison.why
    assert promote(root, params, result.release).before == first
    candidate(model="newer")
    assert publish(root, params).promotable


@pytest.mark.parametrize("harm", ["verdict", "manifest", "gone"])
def test_a_damaged_production_is_made_whole_by_the_same_candidate(
    candidate: Candidate, harm: str
) -> None:
    root, params, first = with_damaged_production(candidate, harm)
    result = publish(root, params)
    assert result.release == first and result.promotable
    assert open_registry(params.registry, root).verify(first).passed


def with_damaged_production(candidate: Candidate, harm: str) -> tuple[Path, Params, str]:
    """A workspace whose candidate is in production, and its release is harmed."""
    root, params = candidate()
    first = publish(root, params).release
    promote(root, params, first)
    folder = root / params.registry.folder / "releases" / first
    if harm == "gone":
        shutil.rmtree(folder)
    else:
        (folder / f"{harm}.json").write_text("{")
    return root, params, first


POINTER = "channels/production.json"


def cut(registry: Path) -> None:
    (registry / POINTER).write_text("{")


def gone(registry: Path) -> None:
    (registry / POINTER).unlink()


def folder(registry: Path) -> None:
    gone(registry)
    (registry / POINTER).mkdir()


def beginning(registry: Path) -> None:
    change = json.loads((registry / POINTER).read_text())
    (registry / POINTER).write_text(json.dumps({**change, "release": change["release"][:8]}))


def unknown(registry: Path) -> None:
    change = json.loads((registry / POINTER).read_text())
    (registry / POINTER).write_text(json.dumps({**change, "release": "0123456789abcdef"}))


def spoil_history(registry: Path) -> None:
    for entry in (registry / "history" / "production").iterdir():
        entry.write_text("{")


@pytest.mark.parametrize("harm", [cut, gone, folder, beginning, unknown])
def test_beside_a_harmed_pointer_the_last_known_release_is_compared_with(
    candidate: Candidate, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    root, params = candidate(ndcg=0.40)
    first = publish(root, params).release
    promote(root, params, first)
    harm(root / params.registry.folder)
    candidate(model="worse", ndcg=0.30)
    result = publish(root, params)
    assert not result.published
    assert "25.0% below production's 0.4000" in result.reasons[0]
    candidate(model="better", ndcg=0.41)
    result = publish(root, params)
    assert result.promotable and result.comparison.production == first
    assert f"its history ends at {first}" in caplog.text


@pytest.mark.parametrize("harm", [cut, gone, folder, beginning])
def test_where_production_is_not_known_a_person_has_to_promote(
    candidate: Candidate, harm: Callable[[Path], None]
) -> None:
    root, params = candidate()
    promote(root, params, publish(root, params).release)
    harm(root / params.registry.folder)
    spoil_history(root / params.registry.folder)
    candidate(model="new")
    result = publish(root, params)
    assert result.published and not result.promotable and not result.reasons
    assert result.comparison.by_hand
    assert "nothing in its history can be read" in result.comparison.why


def test_a_history_that_may_lag_behind_is_not_compared_with(candidate: Candidate) -> None:
    root, params = candidate()
    promote(root, params, publish(root, params).release)
    candidate(model="second")
    promote(root, params, publish(root, params).release)
    registry = root / params.registry.folder
    cut(registry)
    (registry / "history" / "production" / "00000002.json").write_text("{")
    candidate(model="third")
    result = publish(root, params)
    assert result.published and not result.promotable
    assert "1 later change(s) cannot be read" in result.comparison.why


def test_a_manifest_that_is_a_folder_leaves_promotion_to_a_person(candidate: Candidate) -> None:
    root, params = candidate()
    first = publish(root, params).release
    promote(root, params, first)
    manifest = root / params.registry.folder / "releases" / first / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    with pytest.raises(StoreError, match=r"manifest\.json is a folder; move it away"):
        publish(root, params)
    candidate(model="new")
    result = publish(root, params)
    assert result.published and not result.promotable
    assert "manifest.json is a folder" in result.comparison.why


def test_settings_that_are_no_yaml_are_of_another_version() -> None:
    assert evidence("ab", b"a: [", b"{}").params is None


def test_what_would_keep_a_release_from_the_registry_is_known_before(
    candidate: Candidate,
) -> None:
    root, params = candidate()
    assert registry_trouble(root, params) is None
    promote(root, params, publish(root, params).release)
    cut(root / params.registry.folder)
    assert "production.json in the registry is damaged" in str(registry_trouble(root, params))
    folder(root / params.registry.folder)
    assert "is a folder; its history ends at" in str(registry_trouble(root, params))
    shutil.rmtree(root / params.registry.folder)
    (root / params.registry.folder).write_text("")
    assert "a file is in the way" in str(registry_trouble(root, params))


def test_no_candidate_says_what_to_do(make_workspace: MakeWorkspace) -> None:
    root = make_workspace()
    with pytest.raises(CandidateError, match="`make run` creates one"):
        publish(root, load_params(root / "params.yaml"))


def test_settings_changed_since_are_noticed(candidate: Candidate) -> None:
    root, params = candidate()
    settings = json.loads((root / "params.yaml").read_text()) | {"seed": 99}
    (root / "params.yaml").write_text(json.dumps(settings))
    with pytest.raises(NotPublishableError, match=r"params\.yaml has changed since"):
        publish(root, params)


def test_where_releases_live_may_change(candidate: Candidate) -> None:
    root, _ = candidate()
    settings = json.loads((root / "params.yaml").read_text()) | {"registry": {"folder": "other"}}
    (root / "params.yaml").write_text(json.dumps(settings))
    assert publish(root, load_params(root / "params.yaml")).promotable
    assert (root / "other" / "releases").is_dir()


def test_a_missing_lock_is_named(candidate: Candidate) -> None:
    root, params = candidate()
    (root / "dvc.lock").unlink()
    with pytest.raises(NotPublishableError, match=r"dvc\.lock is missing"):
        publish(root, params)


def test_the_task_shows_what_became_of_it(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(
        tasks.publish, "create_markdown_artifact", lambda **given: shown.append(given)
    )
    result = publish_task.fn(*candidate())
    assert result.promotable
    assert [given["markdown"] for given in shown] == [describe(result)]
    assert publish_task.persist_result is False
