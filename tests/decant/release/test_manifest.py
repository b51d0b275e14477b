"""A manifest is one that nobody has changed since, and of a release that may be served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.files import readable
from decant.release.candidate import CandidateError
from decant.release.manifest import check_servable, read_manifest, write_manifest
from decant.release.records import DamagedReleaseError, Release
from decant.release.registry import Registry
from decant.release.store import LocalStore
from tests.fixtures.releases import EXTRA


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(LocalStore(tmp_path / "registry"))


@pytest.fixture
def release(registry: Registry, make_candidate: Callable[..., Path]) -> Release:
    return registry.release(registry.publish(make_candidate(), EXTRA))


def test_a_manifest_is_read_as_it_was_written(release: Release) -> None:
    assert read_manifest(release.id, write_manifest(release)) == release


@pytest.mark.parametrize(
    "changes",
    [
        {"published_by": "somebody else"},
        {"passed": False},
        {"files": {}},
        {"published_at": "2001-01-01T00:00:00Z"},
    ],
)
def test_an_edited_manifest_is_damaged(release: Release, changes: dict[str, Any]) -> None:
    document = json.loads(write_manifest(release))
    with pytest.raises(DamagedReleaseError, match="manifest.json was changed"):
        read_manifest(release.id, readable({**document, **changes}))


def test_a_manifest_of_another_release_is_damaged(release: Release) -> None:
    with pytest.raises(DamagedReleaseError, match=f"belongs to {release.id}"):
        read_manifest("0" * 16, write_manifest(release))


@pytest.mark.parametrize("student", ["general", "women"])
def test_a_graph_that_must_not_be_served_is_not_published(
    registry: Registry, release: Release, student: str
) -> None:
    def read(path: str) -> bytes:
        forbidden = path == f"students/{student}/model.onnx"
        return b"no graph" if forbidden else registry.read(release, path)

    check_servable("here: ", release, lambda path: registry.read(release, path))
    with pytest.raises(CandidateError, match=f"students/{student}/model.onnx: "):
        check_servable("here: ", release, read)
