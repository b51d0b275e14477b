"""What may not be served is refused wherever it enters: assembled, published, promoted."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from decant.params.load import parse_params
from decant.release.candidate import CandidateError, Parts, assemble
from decant.release.names import MANIFEST
from decant.release.records import DamagedReleaseError
from decant.release.registry import Registry
from decant.release.s3 import S3Store
from decant.release.store import LocalStore, Store

PARAMS = parse_params({"students": {"general": {"init": "teacher"}}})
EXTRA = {"provenance.json": b"{}\n"}


def forge(bundle: Path) -> None:
    """A loop in a student's graph; the bundle's manifest knows it."""
    model = onnx.load(bundle / "model.onnx")
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["more"], body=body))
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((bundle / MANIFEST).read_text())
    sha = hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    manifest["files"]["model.onnx"] = sha
    (bundle / MANIFEST).write_text(json.dumps(manifest))


@contextmanager
def nobody_looks() -> Iterator[None]:
    """As it was before graphs were looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("decant.runtime.graph_check.check_graph", lambda content: None)
        yield


def test_a_graph_that_is_not_ours_enters_nowhere(
    registry: Registry, make_parts: Callable[..., Parts], tmp_path: Path
) -> None:
    parts, folder = make_parts(), tmp_path / "candidate"
    forge(parts.bundles / "women" / "int8")
    problem = r"operator `Loop` \(output more\) is not in the list of allowed operators"
    folder.mkdir()
    with pytest.raises(CandidateError, match=f"women/int8/model.onnx: {problem}"):
        assemble(parts, PARAMS, folder)
    folder = tmp_path / "unseen"
    folder.mkdir()
    with nobody_looks():
        assemble(parts, PARAMS, folder)
    with pytest.raises(CandidateError, match=f"students/women/model.onnx: {problem}"):
        registry.publish(folder, EXTRA)
    assert registry.ids() == []
    with nobody_looks():
        release = registry.publish(folder, EXTRA)
    with pytest.raises(DamagedReleaseError, match=f"students/women/model.onnx: {problem}"):
        registry.promote(release)
    assert registry.channel() is None


def put(store: Store, key: str) -> None:
    """Store something behind the registry's back."""
    if isinstance(store, LocalStore):
        (store.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / key).write_bytes(b"more")
    else:
        assert isinstance(store, S3Store)
        store._client.put_object(**store._at(key), Body=b"more")


def test_what_no_manifest_names_is_not_promoted(
    registry: Registry, publish: Callable[..., str]
) -> None:
    release = publish()
    for left in ("comparison.json", "router.json.0123456789abcdef"):
        put(registry.store, f"releases/{release}/{left}")
    assert registry.verify(release).id == release
    put(registry.store, f"releases/{release}/students/tiny/model.onnx")
    with pytest.raises(
        DamagedReleaseError, match=r"students/tiny\S* is not listed in its manifest"
    ):
        registry.promote(release)


def test_a_bundle_names_files_of_its_own_alone(
    make_parts: Callable[..., Parts], tmp_path: Path
) -> None:
    parts = make_parts()
    manifest = parts.bundles / "women" / "int8" / MANIFEST
    content: dict[str, Any] = json.loads(manifest.read_text())
    for name in ("../general.json", "/etc/passwd", "sub/model.onnx", ".", "a\\b"):
        manifest.write_text(json.dumps({"files": {**content["files"], name: "0" * 64}}))
        folder = tmp_path / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir()
        with pytest.raises(CandidateError, match="is not an allowed file name"):
            assemble(parts, PARAMS, folder)


def test_a_file_that_changes_while_it_is_published_stops_it(
    registry: Registry, make_candidate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_candidate()
    keep = Registry._keep

    def changed(self: Registry, release: Any, name: str, content: Any) -> Any:
        if name == "router.json":
            content.write_text("{}")
        return keep(self, release, name, content)

    monkeypatch.setattr(Registry, "_keep", changed)
    with pytest.raises(CandidateError, match=r"router\.json was changed while it was being"):
        registry.publish(folder, EXTRA)
    assert registry.ids() == []


def test_what_is_published_beside_a_candidate_does_not_replace_it(
    registry: Registry, make_candidate: Callable[..., Path]
) -> None:
    for extra, problem in (
        ({"encoder.json": b"{}"}, "encoder.json is not the file that was assembled"),
        ({"students/women/more": b""}, "students/women/more was not assembled"),
        ({"../more": b""}, "'../more' is not an allowed file name"),
        ({"ROUTER.json": b""}, "`router.json` and `ROUTER.json` differ only in case"),
    ):
        with pytest.raises(CandidateError, match=problem):
            registry.publish(make_candidate(), extra)
    assert registry.ids() == []


def as_folder(manifest: Path) -> None:
    manifest.unlink()
    manifest.mkdir()


def as_loop(manifest: Path) -> None:
    manifest.unlink()
    manifest.symlink_to(manifest)


def as_link_to_nothing(manifest: Path) -> None:
    manifest.unlink()
    manifest.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (as_folder, "manifest.json is a folder"),
        (as_loop, "manifest.json cannot be read"),
        (as_link_to_nothing, "manifest.json is a broken symbolic link"),
    ],
)
def test_a_manifest_that_is_no_file_hides_no_other_release(
    damage: Callable[[Path], None],
    problem: str,
    tmp_path: Path,
    make_candidate: Callable[..., Path],
) -> None:
    registry = Registry(LocalStore(tmp_path / "here"))
    harmed, sound = (registry.publish(make_candidate(model=m), EXTRA) for m in ("one", "two"))
    damage(tmp_path / "here/releases" / harmed / MANIFEST)
    assert [release.id for release in registry.releases()] == [sound]
    for given in (harmed, harmed[:8]):
        with pytest.raises(ValueError, match=problem):
            registry.verify(given)


def test_a_release_removed_while_they_are_listed_is_left_out(
    registry: Registry, publish: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = publish()
    monkeypatch.setattr(Registry, "ids", lambda self: [sound, "0" * 16])
    assert [release.id for release in registry.releases()] == [sound]
