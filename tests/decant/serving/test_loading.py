"""What answers follows the channel, and what must not be served never replaces what answers."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from decant.release.records import DamagedReleaseError, RegistryError
from decant.release.registry import Registry
from decant.release.s3 import S3Store
from decant.serving.loading import (
    Current,
    NothingToServeError,
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
    assert f"release {first} stays" in caplog.text


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
    with pytest.raises(RegistryError, match="no name of a channel"):
        open_source(shop.root, "../up")


def test_a_release_in_a_bucket_is_fetched_and_served(
    shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(
            Bucket="bucket"
        )
        registry = Registry(S3Store("bucket", "decant", endpoint))
        shop.publish(1)
        release = registry.publish(shop.root / "work-1" / "candidate", {})
        registry.promote(release)
        current = Current(Source(registry, "production", tmp_path / "cache"))
        assert current.refresh() is True, current.problem
        assert (tmp_path / "cache" / release / "candidate.json").is_file()
    finally:
        server.stop()
    current.refresh()
    assert current.served
    assert current.problem
