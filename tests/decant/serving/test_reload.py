"""What answers follows the channel, and what must not be served never replaces what answers."""

import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from decant.params.release import Serve
from decant.release import s3
from decant.release.manifest import write_manifest
from decant.release.records import DamagedReleaseError, GateFailedError, RegistryError
from decant.release.registry import Registry
from decant.release.store import StoreError
from decant.serving.last_served import LastServed
from decant.serving.preload import NotLoadedError, Preload
from decant.serving.reload import (
    Current,
    NothingToServeError,
    Pause,
    Source,
    forget_old,
    open_source,
)


def damage(shop: Any, release: str, name: str = "students/general/model.onnx") -> Path:
    path = shop.root / "registry" / "releases" / release / name
    path.write_bytes(path.read_bytes()[:-1])
    return path


def test_nothing_is_served_before_the_first_promotion(shop: Any) -> None:
    current = Current(shop.source)
    assert current.refresh() is False
    assert current.served is None
    assert current.problem
    assert "no release was promoted to production yet" in current.problem


def test_it_follows_the_channel_forth_and_back(shop: Any) -> None:
    current = Current(shop.source)
    first = shop.promote(1)
    assert current.refresh() is True
    assert current.refresh() is False
    second = shop.promote(2)
    assert current.refresh() is True
    assert current.served
    assert current.served.family.release == second
    shop.registry.rollback()
    current.refresh()
    assert current.served.family.release == first
    assert current.served.change.action == "rollback"


def test_what_was_taken_answers_on_after_a_swap(shop: Any) -> None:
    shop.promote(1)
    current = Current(shop.source)
    current.refresh()
    taken = current.served
    assert taken
    shop.promote(2)
    current.refresh()
    shutil.rmtree(shop.root / "registry" / "releases" / taken.family.release)
    assert taken.family.recommend({}, [], 3).release == taken.family.release


def test_a_damaged_release_keeps_the_old_one_and_is_said_once(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = shop.promote(1)
    current = Current(shop.source)
    current.refresh()
    second = shop.promote(2)
    damage(shop, second)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert current.refresh() is False
    assert current.served
    assert current.served.family.release == first
    assert current.problem
    assert f"release {second} is damaged" in current.problem
    assert len(caplog.records) == 1
    assert f"still serving {first}" in caplog.text


def test_a_refused_release_is_tried_again_ever_more_rarely(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, attempts = [0.0], []
    broken = damage(shop, shop.promote(1))
    load = Source.load

    def counted(source: Source, release: str) -> Any:
        attempts.append(now[0])
        return load(source, release)

    monkeypatch.setattr(Source, "load", counted)
    current = Current(shop.source, clock=lambda: now[0])
    for second in range(200):
        now[0] = float(second)
        current.refresh()
    assert attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    work = shop.root / "work-1" / "candidate" / "students" / "general" / "model.onnx"
    shutil.copyfile(work, broken)
    now[0] = 243.0
    assert current.refresh() is True
    assert current.problem is None


def test_moving_the_channel_back_ends_the_trouble(shop: Any) -> None:
    shop.promote(1)
    current = Current(shop.source)
    current.refresh()
    damage(shop, shop.promote(2))
    current.refresh()
    shop.registry.rollback()
    current.refresh()
    assert current.problem is None


def test_a_registry_that_is_gone_keeps_the_old_release(shop: Any) -> None:
    shop.promote(1)
    current = Current(shop.source)
    current.refresh()
    shutil.rmtree(shop.root / "registry")
    current.refresh()
    assert current.served
    assert current.problem


def test_an_unexpected_error_keeps_the_old_release(
    shop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.promote(1)
    current = Current(shop.source)
    current.refresh()
    monkeypatch.setattr(Source, "pointer", lambda _: 1 / 0)
    current.refresh()
    assert current.served
    assert current.problem == "ZeroDivisionError: division by zero"
    assert "Traceback" in caplog.text


def test_a_local_release_is_loaded_where_it_lies(shop: Any) -> None:
    shop.source.load(shop.promote(1))
    assert not (shop.root / "cache").exists()


def test_a_release_stored_beside_leftovers_is_loaded_where_it_lies(shop: Any) -> None:
    release = shop.publish(1)
    folder = shop.root / "registry" / "releases" / release
    (folder / "manifest.json").unlink()
    (folder / "router.json").write_bytes(b"left by a killed publication of something else")
    shop.promote(1)
    family = shop.source.load(release)
    assert family.recommend({"gender": "F"}, [], 1).student == "women"
    assert not (shop.root / "cache").exists()


def test_a_damaged_release_is_not_loaded(shop: Any) -> None:
    release = shop.promote(1)
    damage(shop, release, "encoder.json")
    with pytest.raises(DamagedReleaseError):
        shop.source.load(release)


def test_the_oldest_fetched_releases_are_forgotten(tmp_path: Path) -> None:
    names = [16 * letter for letter in "abcdef"]
    for age, name in enumerate([*names, f".{names[0]}.12345678.new", "production.json"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    forget_old(tmp_path, 3, {names[4]})
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names[0], names[1], names[4], "production.json"}


def test_a_source_is_opened_from_the_settings(shop: Any) -> None:
    release = shop.promote(1)
    assert open_source(shop.root, "production").pointer().release == release
    with pytest.raises(NothingToServeError, match="canary yet.*channels: production"):
        open_source(shop.root, "canary").pointer()
    with pytest.raises(RegistryError, match="invalid channel name"):
        open_source(shop.root, "../up")


def test_a_release_that_failed_is_not_loaded(shop: Any) -> None:
    release = shop.promote(1)
    manifest = shop.registry.release(release).model_copy(
        update={"passed": False, "reasons": ["retention"]}
    )
    path = shop.root / "registry" / "releases" / release / "manifest.json"
    path.write_bytes(write_manifest(manifest))
    with pytest.raises(GateFailedError, match="did not pass: retention"):
        shop.source.load(release)


def test_what_changes_after_it_was_tried_is_not_loaded(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = shop.promote(1)
    check = Preload.check

    def changed(bounds: Preload, *given: Any) -> None:
        check(bounds, *given)
        damage(shop, release)

    monkeypatch.setattr(Preload, "check", changed)
    with pytest.raises(DamagedReleaseError, match=r"general/model\.onnx was changed"):
        shop.source.load(release)


@pytest.mark.parametrize(("seconds", "pause"), [(0.0, 1.0), (10.0, 90.0)])
def test_a_release_that_takes_long_to_refuse_is_tried_a_tenth_of_the_time(
    seconds: float, pause: float
) -> None:
    now = [100.0]
    waiting = Pause(lambda: now[0])
    assert waiting.over
    waiting.begin(seconds)
    now[0] += pause - 0.01
    assert not waiting.over
    now[0] += 0.02
    assert waiting.over


# what was served last


@pytest.fixture
def restarted(shop: Any) -> Any:
    """A project whose service has served a release and has ended: `again()` starts another."""
    shop.promote(1)
    assert Current(shop.source).refresh()
    return shop


def again(shop: Any) -> Current:
    current = Current(shop.source)
    current.refresh()
    return current


POINTERS = ["{", "", "[]", '{"release": "../../x"}', None]


def test_beside_a_damaged_pointer_a_move_made_while_the_service_was_down_counts(
    restarted: Any,
) -> None:
    first, second = restarted.registry.channel().release, restarted.promote(2)
    assert again(restarted).served.family.release == second
    restarted.registry.rollback()
    (restarted.root / "registry" / "channels" / "production.json").write_text("")
    current = again(restarted)
    assert current.served and current.served.family.release == first
    assert current.problem.endswith(
        f"serving the last release in the history of production: {first}"
    )


@pytest.mark.parametrize("content", POINTERS, ids=range(len(POINTERS)))
def test_beside_a_damaged_pointer_the_last_release_is_served(
    restarted: Any, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    pointer = restarted.root / "registry" / "channels" / "production.json"
    whole, first = pointer.read_text(), restarted.registry.channel().release
    pointer.unlink() if content is None else pointer.write_text(content)
    current = again(restarted)
    assert current.served and current.served.family.release == first
    assert current.served.change.channel == "production"
    assert current.problem and "production" in current.problem
    instead = f"serving the last release in the history of production: {first}"
    assert instead in caplog.text and instead in current.problem
    current.refresh()
    assert instead in current.problem and caplog.text.count(instead) == 1
    pointer.write_text(whole)
    current.refresh()
    assert current.problem is None
    second = restarted.promote(2)
    current.refresh()
    assert current.served.family.release == second


def test_where_the_next_release_cannot_be_served_the_last_one_is(restarted: Any) -> None:
    first, second = restarted.registry.channel().release, restarted.promote(2)
    damage(restarted, second)
    current = again(restarted)
    assert current.served and current.served.family.release == first
    assert current.problem and f"release {second} is damaged" in current.problem
    assert current.refresh() is False and current.served.family.release == first


def test_a_release_that_has_just_failed_to_load_is_not_loaded_again_as_the_last_one(
    restarted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, loaded = restarted.registry.channel().release, list[str]()

    def fail(source: Source, given: str) -> Any:
        loaded.append(given)
        raise NotLoadedError(given, "takes too long")

    monkeypatch.setattr(Source, "load", fail)
    monkeypatch.setattr(Source, "load_kept", fail)
    current = again(restarted)
    assert current.served is None
    assert loaded == [release]
    assert current.problem == f"release {release} takes too long"


def spoil(path: Path, note: Any, change: dict[str, Any]) -> None:
    """Put something else in the place of a note."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if note is None:
        path.mkdir()
    elif isinstance(note, bytes):
        path.write_bytes(note)
    else:
        path.write_text(json.dumps(change | note))


NOTES = [b"", b"{}", b"\xff", b"[" * 9000, {"channel": "canary"}, {"release": "../../etc"}, None]


@pytest.mark.parametrize("note", NOTES, ids=range(len(NOTES)))
def test_a_damaged_note_is_no_fault(restarted: Any, note: Any) -> None:
    path, change = restarted.root / "cache" / "production.json", restarted.registry.channel()
    spoil(path, note, change.model_dump(mode="json"))
    assert again(restarted).served
    spoil(path, note, change.model_dump(mode="json"))
    channels = [restarted.root / "registry" / name for name in ("channels", "history")]
    for folder in channels:
        folder.rename(folder.with_suffix(".aside"))
    current = again(restarted)
    assert current.served is None and current.problem
    for folder in channels:
        folder.with_suffix(".aside").rename(folder)
    assert current.refresh()


def test_a_last_release_that_is_damaged_is_not_served(
    restarted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    damage(restarted, restarted.registry.channel().release)
    (restarted.root / "registry" / "channels" / "production.json").write_text("{")
    current = again(restarted)
    assert current.served is None
    assert "the release last served here for production cannot be served either" in caplog.text
    assert current.problem and "production.json" in current.problem


def test_a_note_that_cannot_be_written_stops_nothing(
    shop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(note: LastServed, change: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    release = shop.promote(1)
    monkeypatch.setattr(LastServed, "write", full)
    assert Current(shop.source).refresh()
    assert f"release {release} is served, but could not be noted" in caplog.text


@dataclass
class Bucket:
    """A store that can be away; what it holds stays."""

    server: ThreadedMotoServer
    registry: Registry

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        _, port = self.server.get_host_and_port()
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
        self.server.start()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    made = Bucket(server, Registry(s3.S3Store(name, "decant", endpoint)))
    yield made
    made.stop()


def test_a_release_in_a_bucket_is_served_also_while_the_bucket_is_away(
    shop: Any, tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    def start() -> Current:
        current = Current(replace(shop.source, registry=bucket.registry))
        current.refresh()
        return current

    first, second = shop.publish(1), shop.publish(2)
    bucket.registry.publish(shop.root / "work-1" / "candidate", {})
    bucket.registry.promote(first)
    current = start()
    assert current.served and current.served.family.release == first, current.problem
    assert (shop.root / "cache" / first / "candidate.json").is_file()
    bucket.stop()
    current.refresh()
    assert current.served and current.problem
    current = start()
    assert current.served and current.served.family.release == first
    assert current.problem and "does not answer" in current.problem
    assert f"serving the release last served here for production: {first}" in caplog.text
    bucket.start()
    assert current.refresh() is False and current.problem is None
    bucket.registry.publish(shop.root / "work-2" / "candidate", {})
    bucket.registry.promote(second)
    assert current.refresh() and current.served.family.release == second
    (shop.root / "cache" / second / "router.json").write_bytes(b"{}")
    bucket.stop()
    assert start().served is None


def test_what_is_fetched_is_no_longer_than_its_manifest_says(
    shop: Any, tmp_path: Path, bucket: Bucket
) -> None:
    shop.publish(1)
    release = bucket.registry.publish(shop.root / "work-1" / "candidate", {})
    store, read = bucket.registry.store, 0
    endless = f"releases/{release}/encoder.json"

    def stream(key: str) -> Iterator[bytes]:
        nonlocal read
        yield from [store.read(key)] if key != endless else ()
        while key == endless:
            read += 1
            yield bytes(1000)

    forged = Registry(Wrapped(store, stream))
    with pytest.raises(DamagedReleaseError, match=r"encoder\.json is longer than the \d+ bytes"):
        forged.fetch(release, tmp_path / "cache" / release)
    assert read < 3 and not any((tmp_path / "cache").iterdir())
    endless = f"releases/{release}/manifest.json"
    with pytest.raises(DamagedReleaseError, match="manifest.json is larger than 16000000 bytes"):
        forged.fetch(release, tmp_path / "cache" / release)


class Wrapped:
    """A store whose bytes come from elsewhere."""

    def __init__(self, store: Any, stream: Callable[[str], Iterator[bytes]]) -> None:
        self._store, self.stream = store, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_what_does_not_fit_on_the_disk_is_not_fetched(
    shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = shop.publish(1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"has \d+ bytes, .* has 1000 free: make room"):
        shop.registry.fetch(release, tmp_path / "cache" / release)
    assert not any((tmp_path / "cache").iterdir())


def test_the_bounds_are_those_of_the_settings(shop: Any) -> None:
    with (shop.root / "params.yaml").open("a") as file:
        file.write("serve: {load_seconds: 7, load_memory_mb: 512}\n")
    preload = open_source(shop.root, "production").preload
    assert (preload.seconds, preload.memory_mb) == (7, 512)
    unbounded = Source(shop.registry, "production", shop.root / "cache").preload
    assert unbounded.seconds == Serve().load_seconds
    assert unbounded.memory_mb == Serve().load_memory_mb
