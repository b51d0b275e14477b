"""Contract checks that every store passes, and what is particular to the folder."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from decant.release import store as stores
from decant.release.faults import ADVICE
from decant.release.store import (
    KeyExistsError,
    LocalStore,
    MissingKeyError,
    ObstructedKeyError,
    Store,
    StoreError,
    StoreFaultError,
    SwapLostError,
    UnreadableKeyError,
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
    with pytest.raises(KeyExistsError, match="`a` already exists"):
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
        with pytest.raises(StoreError, match="registry/new cannot be written: No space left"):
            local.write_new("new", b"content")
        with pytest.raises(StoreError, match="registry/pointer cannot be written: No space left"):
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


@pytest.mark.parametrize("number", [*ADVICE, errno.EBUSY])
@pytest.mark.parametrize("call", ["mkdir", "replace", "fsync"])
def test_a_fault_of_the_file_system_is_one_line_with_path_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    local = LocalStore(tmp_path / "registry")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path if call == "mkdir" else os, call, fail)
    for use in (lambda: local.write_new("a/b", b""), lambda: local.swap("a/b", None, b"")):
        with pytest.raises(StoreFaultError) as caught:
            use()
        line = f"{tmp_path}/registry/a/b cannot be written: {os.strerror(number)}"
        assert str(caught.value).startswith(line)
        assert ADVICE.get(number, "") in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.errno == number


def test_a_folder_that_cannot_be_locked_fails_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(stores.fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="registry cannot be written: No locks.*with locks"):
        LocalStore(tmp_path / "registry").probe()


def test_what_another_account_left_keeps_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".tmp" / "folder").mkdir(parents=True)
    os.utime(tmp_path / ".tmp" / "folder", (0, 0))
    LocalStore(tmp_path).write_new("a", b"1")
    assert LocalStore(tmp_path).read("a") == b"1"


def test_a_folder_in_the_place_of_a_key_is_named(tmp_path: Path) -> None:
    local = LocalStore(tmp_path)
    (tmp_path / "a" / "key").mkdir(parents=True)
    for use in (
        lambda: local.read("a/key"),
        lambda: local.read_versioned("a/key"),
        lambda: local.exists("a/key"),
        lambda: local.write_new("a/key", b""),
        lambda: local.swap("a/key", None, b""),
    ):
        with pytest.raises(ObstructedKeyError, match="a/key is a folder; move it away"):
            use()
    assert local.list("") == []


def test_a_pipe_in_the_place_of_a_key_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    with pytest.raises(ObstructedKeyError, match="key is not a regular file; move it away"):
        LocalStore(tmp_path).read("key")


@pytest.mark.parametrize("name", ["a", "a/b"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    local, key = LocalStore(tmp_path), "a/b/key"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    for use in (
        lambda: local.read(key),
        lambda: local.exists(key),
        lambda: local.write_new(key, b""),
        lambda: local.swap(key, None, b""),
        lambda: local.list("a/b/"),
    ):
        with pytest.raises(StoreError, match=f"{name}: a file is in the way .*; move it away"):
            use()


@pytest.mark.parametrize("link", ["registry", "registry/a"])
def test_a_link_to_nothing_in_the_place_of_a_folder_is_named(tmp_path: Path, link: str) -> None:
    local, key = LocalStore(tmp_path / "registry"), "a/key"
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "not" / "mounted")
    for use in (
        lambda: local.read(key),
        lambda: local.exists(key),
        lambda: local.list("a/"),
        lambda: local.swap(key, None, b""),
    ):
        with pytest.raises(StoreError, match=f"{link}:? (is )?a broken symbolic link"):
            use()


def test_a_link_to_nothing_is_replaced_like_any_version(tmp_path: Path) -> None:
    local = LocalStore(tmp_path)
    (tmp_path / "key").symlink_to("nowhere")
    with pytest.raises(ObstructedKeyError, match="key is a broken symbolic link") as caught:
        local.read_versioned("key")
    assert not local.exists("key")
    with pytest.raises(SwapLostError):
        local.swap("key", None, b"1")
    local.swap("key", caught.value.version, b"1")
    with pytest.raises(SwapLostError):
        local.swap("key", caught.value.version, b"2")
    assert local.read("key") == b"1"
    assert not (tmp_path / "nowhere").exists()


def test_what_cannot_be_read_is_replaced_like_any_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalStore(tmp_path)
    local.write_new("key", b"secret")

    def denied(path: Path) -> Iterator[bytes]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(stores, "pieces", denied)
        for read in (local.read, local.read_versioned):
            with pytest.raises(UnreadableKeyError, match="key cannot be read: Perm.*grant"):
                read("key")
        version = _unread_version(local)
        with pytest.raises(SwapLostError):
            local.swap("key", None, b"1")
        local.swap("key", version, b"1")
        assert _unread_version(local) != version
    assert local.read("key") == b"1"
    with pytest.raises(SwapLostError):
        local.swap("key", version, b"2")


def _unread_version(local: LocalStore) -> str:
    with pytest.raises(UnreadableKeyError) as caught:
        local.read_versioned("key")
    return caught.value.version


def test_a_folder_that_cannot_be_listed_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalStore(tmp_path)
    local.write_new("a/key", b"")
    real = os.scandir

    def denied(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "a":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    for prefix in ("", "a/", "a/k"):
        with pytest.raises(UnreadableKeyError, match="/a cannot be read: Permission denied"):
            local.list(prefix)


def test_too_many_open_files_say_nothing_about_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalStore(tmp_path)
    local.write_new("key", b"")

    def no_more(path: Path) -> Iterator[bytes]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(stores, "pieces", no_more)
    with pytest.raises(StoreError, match="Too many open files; raise") as caught:
        local.read("key")
    assert not isinstance(caught.value, UnreadableKeyError)


def test_a_list_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("")
    local = LocalStore(tmp_path / "registry")
    local.write_new("a/key", b"")
    for prefix in ("../outside/", "a/../../outside/", f"{tmp_path}/outside/", "/"):
        assert local.list(prefix) == []


def _swap(store: Store, version: str | None, number: int) -> None:
    store.swap("pointer", version, b"racer %d" % number)
