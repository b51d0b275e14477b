import json
from pathlib import Path

import pytest

from decant.models import bundle


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    bundle.write_text_files(folder, {"dimension": 8}, ("a", "ß"), {"ndcg": 0.25})
    (folder / bundle.GRAPH).write_bytes(b"graph")
    (folder / bundle.WEIGHTS).write_bytes(b"weights!")
    bundle.seal(folder)
    return folder


def test_what_is_written_is_read_back(sealed: Path) -> None:
    bundle.check(sealed)
    assert bundle.read_json(sealed, bundle.CONFIG) == {"dimension": 8}
    assert bundle.read_json(sealed, bundle.ITEMS) == ["a", "ß"]
    assert bundle.read_json(sealed, bundle.METRICS) == {"ndcg": 0.25}


def test_the_manifest_names_every_other_file(sealed: Path) -> None:
    named = set(bundle.read_json(sealed, bundle.MANIFEST)["files"])
    assert named == {p.name for p in sealed.iterdir()} - {bundle.MANIFEST}


def test_a_bundle_without_a_manifest_is_incomplete(sealed: Path) -> None:
    (sealed / bundle.MANIFEST).unlink()
    with pytest.raises(bundle.BundleError, match=r"no manifest\.json"):
        bundle.check(sealed)


def test_a_missing_file_is_named(sealed: Path) -> None:
    (sealed / bundle.ITEMS).unlink()
    with pytest.raises(bundle.BundleError, match=r"items\.json is missing"):
        bundle.check(sealed)


def test_a_changed_file_is_named(sealed: Path) -> None:
    (sealed / bundle.GRAPH).write_bytes(b"graqh")
    with pytest.raises(bundle.BundleError, match=r"model\.onnx was changed"):
        bundle.check(sealed)


def test_the_size_is_that_of_the_files_that_are_served(sealed: Path) -> None:
    every = sum(p.stat().st_size for p in sealed.iterdir())
    assert bundle.size_bytes(sealed) == every - len(b"weights!")


def test_a_figure_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        bundle.write_json(tmp_path / "metrics.json", {"ndcg": float("nan")})


def test_json_is_the_same_whatever_the_order_of_the_keys(tmp_path: Path) -> None:
    bundle.write_json(tmp_path / "one", {"a": 1, "b": 2})
    bundle.write_json(tmp_path / "two", {"b": 2, "a": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_text()) == {"a": 1, "b": 2}
