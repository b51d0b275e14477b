"""The promote flow: a damaged pointer is written anew, and a mistake is told without a stack."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decant.files import digest, write_json
from decant.params.load import parse_params
from decant.release.candidate import Parts, assemble
from decant.release.records import UnknownReleaseError
from decant.release.registry import Registry
from decant.release.store import LocalStore, StoreError
from flows.promote import Options, promote
from tests.fixtures.releases import graph

Release = Callable[[str], str]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of a project that is the working directory."""
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    monkeypatch.chdir(tmp_path)
    return Registry(LocalStore(tmp_path / "registry"))


@pytest.fixture
def release(registry: Registry, tmp_path: Path) -> Release:
    """Publish a release that is made of a text."""

    def make(text: str) -> str:
        folder = tmp_path / text
        bundle = folder / "compressed" / "general" / "int8"
        bundle.mkdir(parents=True)
        contents = {
            "router": {"students": {}, "folded": []},
            "verdict": {"passed": True, "segments": {}},
            **{name: {} for name in ("encoder", "metrics", "raw")},
        }
        for name, content in contents.items():
            write_json(folder / f"{name}.json", content)
        for name in ("config.json", "items.json"):
            write_json(bundle / name, [])
        (bundle / "model.onnx").write_bytes(graph(text))
        files = {path.name: digest(path.read_bytes()) for path in bundle.iterdir()}
        write_json(bundle / "manifest.json", {"files": files})
        (folder / "candidate").mkdir()
        places = {name: folder / f"{name}.json" for name in contents}
        parts = Parts(bundles=folder / "compressed", **places)
        assemble(parts, parse_params({}), folder / "candidate")
        return registry.publish(folder / "candidate", {})

    return make


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    """What Prefect's runs log."""
    records: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    loggers = [logging.getLogger(f"prefect.{kind}") for kind in ("task_runs", "flow_runs")]
    handler = Kept()
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.parametrize("content", [b'{"action": "promote",\n  "at": "2026-1', None])
def test_a_damaged_or_missing_pointer_is_written_anew(
    registry: Registry, release: Release, prefect_server: None, content: bytes | None
) -> None:
    first, second = release("first"), release("second")
    promote(Options(release=first))
    pointer = Path("registry", "channels", "production.json")
    pointer.unlink() if content is None else pointer.write_bytes(content)
    promote(Options(release=second))
    result = json.loads(pointer.read_text())
    assert (result["release"], result["trail"], result["number"]) == (second, [first], 2)
    assert registry.rollback().release == first


def test_a_mistake_is_told_without_a_stack(
    registry: Registry, release: Release, prefect_server: None, said: list[logging.LogRecord]
) -> None:
    first = release("first")
    with pytest.raises(UnknownReleaseError, match="no release `zzzz`: known: "):
        promote(Options(release="zzzz"))
    Path("registry", "channels", "production.json").mkdir(parents=True)
    with pytest.raises(StoreError, match="production.json is a folder; move it away"):
        promote(Options(release=first))
    errors = [record for record in said if record.levelno >= logging.ERROR]
    assert len(errors) >= 4  # of the task and of the flow, twice
    assert not [record for record in errors if record.exc_info]
