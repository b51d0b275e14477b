"""Contract checks that every store passes, and what is particular to the folder."""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from decant.release.store import (
    KeyExistsError,
    LocalStore,
    MissingKeyError,
    Store,
    StoreError,
    SwapLostError,
)

RACERS = 12


def race(run: Callable[[int], None], lost: type[Exception]) -> int:
    """Run `run(0…11)` at the same moment and count who is not refused with `lost`."""
    barrier, winners, errors = threading.Barrier(RACERS), [], []

    def racer(number: int) -> None:
        barrier.wait()
        try:
            run(number)
            winners.append(number)
        except lost:
            return
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=racer, args=(n,)) for n in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return len(winners)


def test_what_was_written_is_read(store: Store) -> None:
    store.write_new("a/b.bin", b"\x00\x01")
    assert store.read("a/b.bin") == b"\x00\x01"
    assert b"".join(store.stream("a/b.bin")) == b"\x00\x01"
    assert store.exists("a/b.bin")
    assert store.read_versioned("a/b.bin") is not None


def test_an_empty_file_is_kept(store: Store) -> None:
    store.write_new("empty", b"")
    assert store.read("empty") == b""


def test_a_file_larger_than_a_chunk_arrives_in_pieces(store: Store, tmp_path: Path) -> None:
    content = os.urandom(2_500_000)
    (tmp_path / "large").write_bytes(content)
    store.write_new("large", tmp_path / "large")
    pieces = list(store.stream("large"))
    assert len(pieces) > 1
    assert b"".join(pieces) == content


def test_a_key_is_written_once(store: Store) -> None:
    store.write_new("a", b"first")
    with pytest.raises(KeyExistsError, match="`a` exists already"):
        store.write_new("a", b"second")
    assert store.read("a") == b"first"


def test_a_missing_key_is_named(store: Store) -> None:
    assert not store.exists("no/such")
    assert store.read_versioned("no/such") is None
    with pytest.raises(MissingKeyError, match="no/such"):
        store.read("no/such")


def test_keys_are_listed_by_prefix_in_order(store: Store) -> None:
    for key in ("b/2", "a/1", "b/1", "bc"):
        store.write_new(key, b"")
    assert store.list("") == ["a/1", "b/1", "b/2", "bc"]
    assert store.list("b/") == ["b/1", "b/2"]
    assert store.list("b") == ["b/1", "b/2", "bc"]
    assert store.list("c") == []


def test_a_swap_needs_the_version_that_was_read(store: Store) -> None:
    first = store.swap("pointer", None, b"1")
    assert store.read_versioned("pointer") == (b"1", first)
    second = store.swap("pointer", first, b"2")
    assert second != first
    with pytest.raises(SwapLostError):
        store.swap("pointer", first, b"3")
    with pytest.raises(SwapLostError):
        store.swap("pointer", None, b"3")
    assert store.read("pointer") == b"2"


def test_a_swap_of_what_is_gone_is_lost(store: Store) -> None:
    with pytest.raises(SwapLostError):
        store.swap("pointer", f'"{"0" * 32}"', b"1")
    assert not store.exists("pointer")


def test_one_of_twelve_swaps_wins(store: Store) -> None:
    version = store.swap("pointer", None, b"start")
    won = race(lambda n: _swap(store, version, n), SwapLostError)
    assert won == 1


def test_one_of_twelve_first_swaps_wins(store: Store) -> None:
    assert race(lambda n: _swap(store, None, n), SwapLostError) == 1


def test_one_of_twelve_new_writes_wins(store: Store) -> None:
    assert race(lambda n: store.write_new("new", b"%d" % n), KeyExistsError) == 1


def test_a_fit_store_passes_the_probe_and_keeps_nothing_of_it(store: Store) -> None:
    store.probe()
    store.probe()
    assert store.list("") == []


@pytest.mark.parametrize("key", ["../out", "/etc/out", "a/../../out", ""])
def test_a_key_cannot_leave_the_store(store: Store, key: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a path inside"):
        store.write_new(key, b"")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalStore(tmp_path / "registry")
    version = local.swap("pointer", None, b"1")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            local.write_new("new", b"content")
        with pytest.raises(OSError, match="No space left"):
            local.swap("pointer", version, b"2")
    assert local.list("") == ["pointer"]
    assert local.read("pointer") == b"1"
    assert list((tmp_path / "registry" / ".tmp").iterdir()) == []


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path: Path) -> None:
    local = LocalStore(tmp_path)
    local.write_new("a", b"")
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    local.write_new("b", b"")
    assert not old.exists()
    assert young.exists()
    assert local.list("") == ["a", "b"]


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("")
    with pytest.raises(StoreError, match="registry: a file is in the way"):
        LocalStore(tmp_path / "registry").write_new("a", b"")


def _swap(store: Store, version: str | None, number: int) -> None:
    store.swap("pointer", version, b"racer %d" % number)
