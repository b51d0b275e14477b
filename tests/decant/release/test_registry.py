"""Contract checks of the registry, on a folder and on S3."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from decant.files import digest, readable
from decant.params.release import RegistryParams
from decant.release.candidate import CandidateError
from decant.release.copies import is_copy
from decant.release.folder import ReleaseFolder
from decant.release.records import (
    ChannelMovedError,
    DamagedReleaseError,
    GateFailedError,
    NothingToRollBackError,
    RegistryError,
    UnknownReleaseError,
)
from decant.release.registry import TRAIL, Registry, open_registry
from decant.release.s3 import S3Store
from decant.release.seal import sealed
from decant.release.store import LocalStore, Store

EXTRA = {"dvc.lock": b"stages: {}\n", "params.yaml": b"{}\n", "provenance.json": b"{}\n"}
FORGED = b"forged"

# for rules that do not depend on the kind of store: S3 over HTTP takes its time
on_a_folder = pytest.mark.parametrize("store", ["local"], indirect=True)

MakeCandidate = Callable[..., Path]
Publish = Callable[..., str]


class Wrapped:
    """A store with something done before each write."""

    def __init__(self, store: Store, before: Callable[[str, str], None]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write_new(self, key: str, content: bytes | Path) -> None:
        self._before("write", key)
        self._store.write_new(key, content)

    def swap(self, key: str, expected: str | None, content: bytes) -> str:
        self._before("swap", key)
        return self._store.swap(key, expected, content)


class KilledTestError(BaseException):
    """Stands for a kill: nothing in the code under test catches it."""


def killed_at(store: Store, write: int) -> Registry:
    """A registry whose process ends before its write of that number."""
    writes = iter(range(1000))

    def before(kind: str, key: str) -> None:
        if next(writes) == write:
            raise KilledTestError

    return Registry(Wrapped(store, before))


def forge(store: Store, key: str, content: bytes = FORGED) -> None:
    """Overwrite a key behind the registry's back."""
    if isinstance(store, LocalStore):
        (store.folder / key).parent.mkdir(exist_ok=True)
        (store.folder / key).write_bytes(content)
    else:
        assert isinstance(store, S3Store)
        store._client.put_object(**store._at(key), Body=content)


def resealed(manifest: dict[str, Any]) -> bytes:
    """A forged manifest, its checksum computed anew."""
    return readable(sealed({k: v for k, v in manifest.items() if k != "checksum"}))


def remove(store: Store, key: str) -> None:
    """Remove a key behind the registry's back."""
    if isinstance(store, LocalStore):
        (store.folder / key).unlink()
    else:
        assert isinstance(store, S3Store)
        store._client.delete_object(**store._at(key))


# publish


def test_a_published_release_is_listed_with_every_file(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    folder = make_candidate()
    release = registry.publish(folder, EXTRA)
    assert [result.id for result in registry.releases()] == [release] == registry.ids()
    manifest = registry.verify(release)
    assert manifest.students == ["general", "women"]
    assert manifest.folded == ["men", "tiny"]
    assert manifest.passed
    assert set(EXTRA) < set(manifest.files)
    for path in manifest.files:
        expected = EXTRA.get(path) or (folder / path).read_bytes()
        assert registry.read(release, path) == expected
        assert manifest.files[path].bytes == len(expected)


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert registry.releases() == []
    assert registry.channels() == []
    assert registry.channel() is None
    assert registry.history() == []


def test_publishing_again_changes_nothing(
    registry: Registry, store: Store, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    before = {key: store.read(key) for key in store.list("")}
    assert registry.publish(make_candidate(ndcg=0.7), {**EXTRA, "dvc.lock": b"other"}) == release
    assert {key: store.read(key) for key in store.list("")} == before


def test_a_kill_before_any_write_leaves_nothing_visible_and_can_be_repeated(
    store: Store, make_candidate: MakeCandidate
) -> None:
    folder = make_candidate()
    registry = Registry(store)
    files = len(json.loads((folder / "candidate.json").read_text())["files"]) + 1 + len(EXTRA)
    step = 1 if isinstance(store, LocalStore) else 6
    for write in range(files, -1, -step):
        with pytest.raises(KilledTestError):
            killed_at(store, write).publish(folder, EXTRA)
        assert registry.releases() == []
    release = registry.publish(folder, EXTRA)
    assert registry.verify(release).id == release


def test_a_half_published_release_is_completed_by_other_evidence(
    store: Store, make_candidate: MakeCandidate, tmp_path: Path
) -> None:
    with pytest.raises(KilledTestError):
        killed_at(store, 17).publish(make_candidate(ndcg=0.1), {**EXTRA, "dvc.lock": b"old"})
    folder = make_candidate(ndcg=0.2)
    registry = Registry(store)
    release = registry.publish(folder, EXTRA)
    registry.verify(release)
    assert registry.read(release, "metrics.json") == (folder / "metrics.json").read_bytes()
    fetched = registry.fetch(release, tmp_path / "fetched")
    assert (fetched / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
    assert (fetched / "dvc.lock").read_bytes() == EXTRA["dvc.lock"]


@on_a_folder
def test_a_half_published_release_is_named_so(store: Store, make_candidate: MakeCandidate) -> None:
    folder = make_candidate()
    release = json.loads((folder / "candidate.json").read_text())["id"]
    with pytest.raises(KilledTestError):
        killed_at(store, 3).publish(folder, EXTRA)
    for use in (Registry(store).verify, Registry(store).promote):
        with pytest.raises(UnknownReleaseError, match="partly published; publish it again"):
            use(release)


def test_two_publishers_with_other_evidence_do_not_mix(
    store: Store, make_candidate: MakeCandidate
) -> None:
    candidates = [make_candidate(ndcg=value) for value in (0.1, 0.2, 0.3, 0.4)]
    barrier = threading.Barrier(len(candidates))

    def publish(folder: Path) -> None:
        barrier.wait()
        Registry(store).publish(folder, EXTRA)

    threads = [threading.Thread(target=publish, args=(folder,)) for folder in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [release] = Registry(store).releases()
    assert Registry(store).verify(release.id).id == release.id


def test_a_process_killed_while_publishing_leaves_nothing_visible(
    make_candidate: MakeCandidate, tmp_path: Path
) -> None:
    folder, place = make_candidate(), tmp_path / "registry"
    program = f"""
import os, signal
from pathlib import Path
from decant.release.registry import Registry
from decant.release.store import LocalStore

class Dying(LocalStore):
    left = 5
    def _rename(self, temporary, final):
        Dying.left -= 1
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._rename(temporary, final)

Registry(Dying(Path({str(place)!r}))).publish(Path({str(folder)!r}), {EXTRA!r})
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    registry = Registry(LocalStore(place))
    assert registry.releases() == []
    registry.verify(registry.publish(folder, EXTRA))


def test_a_full_disk_leaves_no_visible_release(
    make_candidate: MakeCandidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_candidate()
    registry = Registry(LocalStore(tmp_path / "registry"))
    room, real = iter(range(12)), os.fsync

    def full(descriptor: int) -> None:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            registry.publish(folder, EXTRA)
    assert registry.releases() == []
    registry.verify(registry.publish(folder, EXTRA))


@on_a_folder
def test_a_failed_candidate_is_published_only_when_asked_for(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    with pytest.raises(
        GateFailedError, match=r"retention: 80.00%, at least 90.00% is needed \(fam"
    ):
        registry.publish(make_candidate(passed=False), EXTRA)
    assert registry.releases() == []
    release = registry.publish(make_candidate(passed=False), EXTRA, failed_too=True)
    [result] = registry.releases()
    assert not result.passed
    with pytest.raises(GateFailedError, match=f"release {release} did not pass: retention"):
        registry.promote(release)
    assert registry.channel() is None


def test_a_failed_release_is_replaced_by_evidence_that_it_passes(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    failed = registry.publish(make_candidate(passed=False), EXTRA, failed_too=True)
    release = registry.publish(make_candidate(), EXTRA)
    assert release == failed
    assert registry.promote(release).release == release
    registry.publish(make_candidate(passed=False), EXTRA, failed_too=True)
    assert registry.verify(release).passed


@on_a_folder
@pytest.mark.parametrize("passed", [None, "true", 1, [True]])
def test_a_verdict_that_is_not_true_is_a_no(
    registry: Registry, make_candidate: MakeCandidate, passed: Any
) -> None:
    with pytest.raises(GateFailedError):
        registry.publish(make_candidate(passed=passed), EXTRA)


@on_a_folder
def test_a_comparison_that_failed_is_a_no(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    worse = {**EXTRA, "comparison.json": b'{"passed": false, "why": "5% below production"}'}
    with pytest.raises(GateFailedError, match="5% below production"):
        registry.publish(make_candidate(), worse)
    release = registry.publish(make_candidate(), worse, failed_too=True)
    with pytest.raises(GateFailedError, match="5% below production"):
        registry.promote(release)


@on_a_folder
def test_a_changed_candidate_is_not_published(
    registry: Registry, make_candidate: MakeCandidate
) -> None:
    folder = make_candidate()
    (folder / "encoder.json").write_text("{}")
    with pytest.raises(CandidateError, match=r"encoder\.json"):
        registry.publish(folder, EXTRA)
    assert registry.releases() == []


# ids


def test_a_release_is_found_by_a_unique_beginning(registry: Registry, publish: Publish) -> None:
    one, other = publish(model="one"), publish(model="other")
    length = next(n for n in range(17) if one[:n] != other[:n])
    assert registry.resolve(one) == one
    assert registry.resolve(one[:length]) == one
    assert registry.promote(other[:length]).release == other


def test_a_beginning_of_two_releases_is_of_neither(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = "0123456789abcdef", "0123fedcba987654"
    monkeypatch.setattr(registry, "ids", lambda: [one, other])
    assert registry.resolve("01234") == one
    for beginning in ("0123", "0"):
        with pytest.raises(UnknownReleaseError, match=f"2 match: {one}, {other}"):
            registry.resolve(beginning)


def test_an_unknown_id_names_the_nearest(registry: Registry, publish: Publish) -> None:
    release = publish()
    wrong = release[:-1] + ("0" if release[-1] != "0" else "1")
    with pytest.raises(UnknownReleaseError, match=f"did you mean `{release}`"):
        registry.promote(wrong)


@on_a_folder
@pytest.mark.parametrize("given", ["", "../../etc", "a/b"])
def test_an_id_that_is_none_is_refused(registry: Registry, publish: Publish, given: str) -> None:
    publish()
    with pytest.raises(UnknownReleaseError):
        registry.promote(given)


def test_an_id_of_an_empty_registry_says_so(registry: Registry) -> None:
    with pytest.raises(UnknownReleaseError, match="has no releases yet"):
        registry.promote("0123456789abcdef")


# channels


def test_a_promotion_moves_the_pointer_and_is_remembered(store: Store, publish: Publish) -> None:
    release = publish()
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    registry = Registry(store, now=lambda: noon)
    change = registry.promote(release, reason="first", actor="ann")
    assert registry.channel() == change
    assert (change.release, change.previous, change.number) == (release, None, 1)
    assert (change.at, change.by, change.reason) == (noon, "ann", "first")
    assert registry.history() == [change]
    assert registry.channels() == ["production"]


def test_promoting_what_is_there_changes_nothing(registry: Registry, publish: Publish) -> None:
    release = publish()
    first = registry.promote(release)
    assert registry.promote(release) == first
    assert registry.history() == [first]


@on_a_folder
def test_channels_do_not_touch_each_other(registry: Registry, publish: Publish) -> None:
    one, other = publish(model="one"), publish(model="other")
    registry.promote(one)
    registry.promote(other, "canary")
    assert registry.channels() == ["canary", "production"]
    assert [c.release for c in registry.history()] == [one]
    assert [c.release for c in registry.history("canary")] == [other]


@on_a_folder
@pytest.mark.parametrize("name", ["", "Production", "../production", "a b", "a/b"])
def test_a_name_that_is_no_channel_is_refused(
    registry: Registry, publish: Publish, name: str
) -> None:
    release = publish()
    for use in (lambda: registry.promote(release, name), lambda: registry.history(name)):
        with pytest.raises(RegistryError, match="invalid channel name"):
            use()


def test_rolling_back_twice_goes_back_two_releases(registry: Registry, publish: Publish) -> None:
    a, b, c = (publish(model=name) for name in "abc")
    for release in (a, b, c):
        registry.promote(release)
    assert registry.rollback().release == b
    assert registry.rollback(reason="still bad").release == a
    with pytest.raises(NothingToRollBackError, match=f"no release before {a}"):
        registry.rollback()
    history = registry.history()
    assert [change.release for change in history] == [a, b, c, b, a]
    assert [change.action for change in history] == ["promote"] * 3 + ["rollback"] * 2
    assert [change.number for change in history] == [1, 2, 3, 4, 5]
    assert [change.previous for change in history] == [None, a, b, a, None]


@on_a_folder
def test_a_rollback_to_a_release_that_is_gone_says_what_is_left(
    registry: Registry, publish: Publish
) -> None:
    a, b, c = (publish(model=name) for name in "abc")
    for release in (a, b, c):
        registry.promote(release)
    assert isinstance(registry.store, LocalStore)
    shutil.rmtree(registry.store.folder / "releases" / b)
    message = f"{b}, the previous release of production, is no longer in the registry; "
    message += f"earlier releases: {a}"
    with pytest.raises(NothingToRollBackError, match=re.escape(message)):
        registry.rollback()
    assert registry.rollback(to=a).release == a


@on_a_folder
def test_a_rollback_after_a_new_promotion_goes_to_what_was_served(
    registry: Registry, publish: Publish
) -> None:
    a, b, c = (publish(model=name) for name in "abc")
    registry.promote(a)
    registry.promote(b)
    registry.rollback()
    registry.promote(c)
    assert registry.rollback().release == a


@on_a_folder
def test_a_rollback_can_name_an_earlier_release(registry: Registry, publish: Publish) -> None:
    a, b, c = (publish(model=name) for name in "abc")
    for release in (a, b, c):
        registry.promote(release)
    with pytest.raises(NothingToRollBackError, match=f"earlier releases: {b}, {a}"):
        registry.rollback(to=c)
    with pytest.raises(NothingToRollBackError, match="`zz` matches no release of production"):
        registry.rollback(to="zz")
    assert registry.rollback(to=a).release == a
    assert registry.channel() is not None
    assert registry.history()[-1].previous is None


@on_a_folder
def test_a_rollback_of_an_unused_channel_names_the_channels(
    registry: Registry, publish: Publish
) -> None:
    registry.promote(publish())
    with pytest.raises(NothingToRollBackError, match="nothing .* to canary yet; .* production"):
        registry.rollback("canary")


@on_a_folder
def test_a_trail_has_an_end(registry: Registry, publish: Publish) -> None:
    releases = [publish(model="a"), publish(model="b")]
    registry.promote(releases[0])
    pointer = registry.channel()
    assert pointer is not None
    long = pointer.model_copy(update={"trail": releases * TRAIL})
    forge(registry.store, "channels/production.json", long.model_dump_json().encode())
    assert len(registry.promote(releases[1]).trail) == TRAIL


def test_of_twelve_promotions_at_once_one_wins(store: Store, publish: Publish) -> None:
    registry = Registry(store)
    start, one, other = publish(model="start"), publish(model="one"), publish(model="other")
    registry.promote(start)
    barrier = threading.Barrier(12)

    def before(kind: str, key: str) -> None:
        if kind == "swap":
            barrier.wait(60)

    racing = Registry(Wrapped(store, before))
    won: list[str] = []
    lost: list[ChannelMovedError] = []

    def promote(release: str) -> None:
        try:
            won.append(racing.promote(release).release)
        except ChannelMovedError as error:
            lost.append(error)

    threads = [threading.Thread(target=promote, args=(r,)) for r in (one, other) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 11)
    assert registry.channel().release == won[0]  # type: ignore[union-attr]
    assert [change.release for change in registry.history()] == [start, won[0]]
    assert f"production was moved to {won[0]}" in str(lost[0])


def test_a_channel_that_moves_while_a_release_is_verified_is_not_moved_back(
    registry: Registry, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, one, other = publish(model="start"), publish(model="one"), publish(model="other")
    registry.promote(start)
    verify = registry.fit_to_serve

    def meanwhile(given: str) -> str:
        Registry(registry.store).promote(other)
        return verify(given)

    monkeypatch.setattr(registry, "fit_to_serve", meanwhile)
    with pytest.raises(ChannelMovedError, match=f"production was moved to {other}"):
        registry.promote(one)
    assert [change.release for change in registry.history()] == [start, other]


def test_a_pointer_to_a_release_that_is_gone_says_so(registry: Registry, publish: Publish) -> None:
    start, gone = publish(model="start"), publish(model="gone")
    registry.promote(start)
    registry.promote(gone)
    assert registry.pointer().problem is None
    remove(registry.store, f"releases/{gone}/manifest.json")
    pointer = registry.pointer()
    assert pointer.problem == f"names {gone}, which is not in the registry"
    assert pointer.release == gone


def test_a_crash_cannot_split_the_pointer_from_the_history(store: Store, publish: Publish) -> None:
    registry = Registry(store)
    a, b = publish(model="a"), publish(model="b")
    for write in range(2):  # before the swap; between the swap and the entry
        with pytest.raises(KilledTestError):
            killed_at(store, write).promote(a)
        pointer = registry.channel()
        assert registry.history() == ([pointer] if pointer else [])
    assert not store.list("history/")
    registry.promote(b)
    assert [change.release for change in registry.history()] == [a, b]
    assert len(store.list("history/production/")) == 2


@on_a_folder
def test_an_entry_that_cannot_be_written_does_not_undo_the_move(
    publish: Publish, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    release = publish()

    def before(kind: str, key: str) -> None:
        if key.startswith("history/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    change = Registry(Wrapped(store, before)).promote(release)
    assert "No space left" in caplog.text
    assert Registry(store).history() == [change]


@on_a_folder
def test_numbers_go_on_when_the_pointer_was_removed(registry: Registry, publish: Publish) -> None:
    registry.promote(publish(model="a"))
    remove(registry.store, "channels/production.json")
    assert registry.promote(publish(model="b")).number == 2
    assert [change.number for change in registry.history()] == [1, 2]


@on_a_folder
def test_a_first_promotion_between_two_reads_is_not_a_missing_pointer(
    store: Store, publish: Publish
) -> None:
    change = Registry(store).promote(publish())

    class Early(Wrapped):
        """Reads the pointer for the first time before the promotion."""

        early = True

        def read_versioned(self, key: str) -> tuple[bytes, str] | None:
            if self.early:
                self.early = False
                return None
            return self._store.read_versioned(key)

    assert Registry(Early(store, lambda kind, key: None)).channel() == change


@on_a_folder
def test_a_damaged_pointer_is_named(registry: Registry, publish: Publish) -> None:
    release = publish()
    registry.promote(release)
    forge(registry.store, "channels/production.json", b"{}")
    with pytest.raises(RegistryError, match=r"channels/production\.json .* is damaged.*promote"):
        registry.channel()


def test_a_damaged_pointer_is_written_anew_on_top_of_its_history(
    registry: Registry, publish: Publish
) -> None:
    a, b = publish(model="a"), publish(model="b")
    registry.promote(a)
    registry.promote(b)
    for release in (b, a):
        forge(registry.store, "channels/production.json")
        assert registry.promote(release).release == release
    assert [change.release for change in registry.history()] == [a, b, b, a]
    assert registry.channel().trail == [a, b]  # type: ignore[union-attr]
    forge(registry.store, "channels/production.json")
    assert registry.rollback().release == b


def test_a_damaged_pointer_without_a_history_is_written_anew(
    registry: Registry, publish: Publish
) -> None:
    release = publish()
    forge(registry.store, "channels/production.json")
    assert registry.promote(release).number == 1
    assert registry.channel().release == release  # type: ignore[union-attr]


def test_a_damaged_entry_of_the_history_stops_no_move(registry: Registry, publish: Publish) -> None:
    a, b = publish(model="a"), publish(model="b")
    registry.promote(a)
    forge(registry.store, "history/production/00000001.json")
    assert registry.promote(b).number == 2


@on_a_folder
def test_files_that_are_no_channel_are_left_alone(registry: Registry, publish: Publish) -> None:
    registry.promote(publish())
    for name in ("notes.txt", "production.json.bak", "Old.json"):
        forge(registry.store, f"channels/{name}")
    forge(registry.store, "history/production/notes.txt")
    assert registry.channels() == ["production"]
    assert len(registry.history()) == 1


@on_a_folder
def test_a_release_that_was_rolled_back_is_known(registry: Registry, publish: Publish) -> None:
    a, b = publish(model="a"), publish(model="b")
    registry.promote(a)
    assert registry.rolled_back(a) is None
    registry.promote(b)
    assert registry.rolled_back(b) is None
    change = registry.rollback()
    assert registry.rolled_back(b) == change
    assert registry.rolled_back(a) is None and registry.rolled_back(b, "canary") is None
    registry.promote(b)
    assert registry.rolled_back(b) is None


# tampering


@pytest.mark.parametrize("path", ["students/women/model.onnx", "metrics.json"])
def test_a_changed_byte_is_found_before_anything_is_served(
    registry: Registry, publish: Publish, tmp_path: Path, path: str
) -> None:
    release, later = publish(model="a"), publish(model="b")
    registry.promote(release)
    registry.promote(later)
    content = bytearray(registry.read(release, path))
    content[0] ^= 1
    forge(registry.store, f"releases/{release}/{path}", bytes(content))
    uses: list[Callable[[], object]] = [
        lambda: registry.verify(release),
        lambda: registry.read(release, path),
        lambda: registry.promote(release),
        lambda: registry.rollback(),
        lambda: registry.fetch(release, tmp_path / "fetched"),
    ]
    for use in uses:
        with pytest.raises(DamagedReleaseError, match=f"{path} was changed"):
            use()
    assert registry.channel().release == later  # type: ignore[union-attr]
    assert sorted(p.name for p in tmp_path.iterdir() if "fetched" in p.name) == []


def test_a_missing_file_is_found(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    release = publish()
    remove(registry.store, f"releases/{release}/encoder.json")
    uses: list[Callable[[], object]] = [
        lambda: registry.promote(release),
        lambda: registry.fetch(release, tmp_path / "fetched"),
        lambda: registry.read(release, "encoder.json"),
    ]
    for use in uses:
        with pytest.raises(DamagedReleaseError, match=r"encoder\.json is missing"):
            use()


@on_a_folder
def test_a_model_forged_together_with_the_manifest_is_found(
    registry: Registry, publish: Publish
) -> None:
    release, path = publish(), "students/women/model.onnx"
    manifest = json.loads(registry.store.read(f"releases/{release}/manifest.json"))
    manifest["files"][path] |= {"sha256": digest(FORGED), "bytes": len(FORGED)}
    forge(registry.store, f"releases/{release}/{path}")
    forge(registry.store, f"releases/{release}/manifest.json", resealed(manifest))
    with pytest.raises(DamagedReleaseError, match="is not the file that was assembled"):
        registry.promote(release)


@on_a_folder
def test_a_damaged_manifest_spoils_only_its_own_release(
    registry: Registry, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = publish(model="a"), publish(model="b")
    forge(registry.store, f"releases/{bad}/manifest.json")
    assert [release.id for release in registry.releases()] == [good]
    assert bad in caplog.text
    with pytest.raises(DamagedReleaseError, match=f"{bad} is damaged: .* publishes it again"):
        registry.promote(bad)


@on_a_folder
def test_a_manifest_of_another_release_is_found(registry: Registry, publish: Publish) -> None:
    one, other = publish(model="a"), publish(model="b")
    manifest = registry.store.read(f"releases/{one}/manifest.json")
    forge(registry.store, f"releases/{other}/manifest.json", manifest)
    with pytest.raises(DamagedReleaseError, match=f"belongs to {one}"):
        registry.verify(other)


@on_a_folder
def test_a_manifest_cannot_write_outside_the_destination(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    release = publish()
    key = f"releases/{release}/manifest.json"
    manifest = json.loads(registry.store.read(key))
    manifest["files"]["../../outside"] = manifest["files"]["router.json"]
    forge(registry.store, key, resealed(manifest))
    with pytest.raises(DamagedReleaseError, match="'../../outside' is not an allowed file name"):
        registry.fetch(release, tmp_path / "deep" / "er" / "fetched")
    assert not (tmp_path / "deep" / "outside").exists()


@pytest.mark.parametrize("harm", ["changed", "missing", "manifest", "evidence"])
def test_publishing_a_damaged_release_again_makes_it_whole(
    registry: Registry, make_candidate: MakeCandidate, harm: str
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    registry.promote(release)
    names = {"manifest": "manifest.json", "evidence": "verdict.json"}
    key = f"releases/{release}/{names.get(harm, 'students/women/model.onnx')}"
    for _ in range(2):  # the second time, what was written beside is damaged too
        for path in registry.store.list(key):
            remove(registry.store, path) if harm == "missing" else forge(registry.store, path)
        with pytest.raises(DamagedReleaseError):
            registry.verify(release)
        assert registry.publish(make_candidate(), EXTRA) == release
        assert registry.verify(release).passed


# fetch


def test_a_fetched_release_is_whole(registry: Registry, publish: Publish, tmp_path: Path) -> None:
    release = publish()
    folder = registry.fetch(release[:6], tmp_path / "cache" / release)
    for path in registry.release(release).files:
        assert (folder / path).read_bytes() == registry.read(release, path)
    assert json.loads((folder / "manifest.json").read_text())["id"] == release
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [release]


@on_a_folder
def test_fetching_again_keeps_what_is_whole_and_replaces_what_is_not(
    registry: Registry, publish: Publish, tmp_path: Path
) -> None:
    release = publish()
    folder = registry.fetch(release, tmp_path / "copy")
    kept = (folder / "router.json").stat().st_ino
    registry.fetch(release, folder)
    assert (folder / "router.json").stat().st_ino == kept
    (folder / "router.json").write_bytes(FORGED)
    registry.fetch(release, folder)
    assert (folder / "router.json").read_bytes() == registry.read(release, "router.json")
    shutil.rmtree(folder)
    (folder / "students").mkdir(parents=True)
    registry.fetch(release, folder)
    assert (folder / "router.json").exists()


@on_a_folder
def test_a_copy_that_is_replaced_while_it_is_looked_at_is_none(
    registry: Registry, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = registry.release(publish())
    folder = registry.fetch(release.id, tmp_path / "copy")
    manifest, looked = (folder / "manifest.json").read_bytes(), ReleaseFolder.misplaced

    def replaced(copy: ReleaseFolder) -> list[str]:
        result = looked(copy)
        folder.rename(tmp_path / "old")
        return result

    assert is_copy(release, manifest, folder)
    monkeypatch.setattr(ReleaseFolder, "misplaced", replaced)
    assert not is_copy(release, manifest, folder)


@on_a_folder
@pytest.mark.parametrize("harmed", [False, True])
def test_several_may_fetch_at_once(
    registry: Registry, publish: Publish, tmp_path: Path, harmed: bool
) -> None:
    release, errors = publish(), []
    if harmed:
        registry.fetch(release, tmp_path / "copy")
        (tmp_path / "copy" / "router.json").write_bytes(FORGED)
    barrier = threading.Barrier(4)

    def fetch() -> None:
        barrier.wait()
        try:
            registry.fetch(release, tmp_path / "copy")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    manifest = registry.store.read(f"releases/{release}/manifest.json")
    assert is_copy(registry.release(release), manifest, tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir() if "copy" in p.name] == ["copy"]


# which store


def test_params_name_the_store(tmp_path: Path, s3_endpoint: str) -> None:
    local = open_registry(RegistryParams(folder="here"), tmp_path).store
    assert isinstance(local, LocalStore)
    assert local.folder == tmp_path / "here"
    settings = RegistryParams(kind="s3", bucket="releases", prefix="p", endpoint=s3_endpoint)
    remote = open_registry(settings, tmp_path).store
    assert isinstance(remote, S3Store)
    assert remote.name == "s3://releases/p"


def test_opening_a_registry_writes_nothing(tmp_path: Path) -> None:
    assert open_registry(RegistryParams(), tmp_path).releases() == []
    assert list(tmp_path.iterdir()) == []
