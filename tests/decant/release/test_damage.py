"""A damaged or missing pointer never blocks the way out: every command × damage × store."""

import errno
import functools
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from decant.cli import main
from decant.commands import releases
from decant.files import pieces
from decant.release import store
from decant.release.records import Change, ChannelMovedError, RegistryError
from decant.release.registry import Registry
from decant.release.s3 import S3Store
from decant.release.store import LocalStore, Store

POINTER = "channels/production.json"
NEWEST = "history/production/00000003.json"
MODELS = "abcd"  # a, b and c were promoted in this order, d is published
UNKNOWN = "0123456789abcdef"

AssembleCandidate = Callable[..., Path]


@dataclass
class World:
    """A registry with four releases, three of which were promoted, and how to harm it."""

    store: Store
    releases: dict[str, str]  # model → id
    state: dict[str, bytes]  # the pointer and the history, as they were
    failing: dict[tuple[int, int], int] = field(default_factory=dict)  # file → errno of its reading

    @property
    def registry(self) -> Registry:
        return Registry(self.store)

    @property
    def pointer(self) -> dict[str, Any]:
        return json.loads(self.state[POINTER])  # type: ignore[no-any-return]

    def restore(self) -> None:
        """Make pointer and history what they were."""
        self.failing.clear()
        if isinstance(self.store, LocalStore):
            for name in ("channels", "history"):
                path = self.store.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        else:
            for key in [*self.store.list("channels/"), *self.store.list("history/")]:
                self.remove(key)
        for key, content in self.state.items():
            self.write(key, content)

    def path(self, key: str) -> Path:
        assert isinstance(self.store, LocalStore)
        return self.store.folder / key

    def write(self, key: str, content: bytes) -> None:
        """Overwrite a key behind the registry's back."""
        if isinstance(self.store, LocalStore):
            self.path(key).parent.mkdir(parents=True, exist_ok=True)
            self.path(key).write_bytes(content)
        else:
            assert isinstance(self.store, S3Store)
            self.store._client.put_object(**self.store._at(key), Body=content)

    def remove(self, key: str) -> None:
        """Remove a key behind the registry's back."""
        if isinstance(self.store, LocalStore):
            self.path(key).unlink()
        else:
            assert isinstance(self.store, S3Store)
            self.store._client.delete_object(**self.store._at(key))

    def change(self, **values: Any) -> None:
        """Write the pointer with other values."""
        self.write(POINTER, json.dumps({**self.pointer, **values}).encode())

    def spoil_history(self, *numbers: int) -> None:
        """Cut entries of the history short."""
        for number in numbers:
            self.write(f"history/production/{number:08d}.json", b'{"number": ')

    def replace_by_folder(self, key: str) -> None:
        self.path(key).unlink()
        self.path(key).mkdir()

    def replace_by_file(self, folder: str) -> None:
        shutil.rmtree(self.path(folder))
        self.path(folder).write_text("x")

    def fail(self, number: int) -> None:
        """Let every reading of the pointer as it is now end with an error of the file system."""
        result = self.path(POINTER).stat()
        self.failing[result.st_ino, result.st_mtime_ns] = number

    def read(self, path: Path) -> Iterator[bytes]:
        """What the store reads files with."""
        result = path.stat()
        if number := self.failing.get((result.st_ino, result.st_mtime_ns)):
            raise OSError(number, os.strerror(number), str(path))
        yield from pieces(path)

    def link(self, target: str) -> None:
        self.path(POINTER).unlink()
        self.path(POINTER).symlink_to(target)


@dataclass(frozen=True)
class Damage:
    """What is done, what is said of it, and what the registry can still know."""

    harm: Callable[[World], object]
    message: str | None  # None: the pointer is sound
    known: str | None = "c"  # the model that the history ends at
    before: str | None = "b"  # where a rollback goes
    blocked: bool = False  # no write can replace what is there
    local: bool = False  # only a folder can be harmed so, or a bucket's twin stands beside it
    moves: str = "abc"  # those that trace can show


DAMAGED = f"{POINTER} in the registry is damaged ("
DAMAGES = {
    "none": Damage(lambda w: None, None),
    "cut short": Damage(lambda w: w.write(POINTER, w.state[POINTER][:40]), DAMAGED),
    "empty": Damage(lambda w: w.write(POINTER, b""), DAMAGED),
    "gone": Damage(lambda w: w.remove(POINTER), f"{POINTER} in the registry is gone"),
    "garbage": Damage(lambda w: w.write(POINTER, b"garbage"), DAMAGED, local=True),
    "not UTF-8": Damage(lambda w: w.write(POINTER, b"\xff\xfe{\x00"), DAMAGED),
    "deep": Damage(lambda w: w.write(POINTER, b"[" * 100_000), DAMAGED, local=True),
    "list": Damage(lambda w: w.write(POINTER, b"[]"), DAMAGED, local=True),
    "null": Damage(lambda w: w.write(POINTER, b"null"), DAMAGED, local=True),
    "key missing": Damage(lambda w: w.change(trail=None), DAMAGED, local=True),
    "key more": Damage(lambda w: w.change(later="version"), None, local=True),
    "no time zone": Damage(lambda w: w.change(at="2026-01-01T00:00:00"), DAMAGED, local=True),
    "no number": Damage(lambda w: w.change(number=-5), DAMAGED, local=True),
    "no such number": Damage(lambda w: w.change(number=10**400), DAMAGED, local=True),
    "trail of no releases": Damage(lambda w: w.change(trail=["ace0b"]), DAMAGED, local=True),
    "before it no release": Damage(lambda w: w.change(previous="../x"), DAMAGED, local=True),
    "large": Damage(lambda w: w.change(reason="x" * 2_000_000), DAMAGED, local=True),
    "other channel": Damage(lambda w: w.change(channel="canary"), DAMAGED),
    "unknown id": Damage(lambda w: w.change(release=UNKNOWN), f"names {UNKNOWN}, which is not in"),
    "beginning of an id": Damage(
        lambda w: w.change(release=w.releases["c"][:8]), "a prefix of release "
    ),
    "empty id": Damage(lambda w: w.change(release=""), "invalid release id (``)"),
    "slash": Damage(lambda w: w.change(release="a/b"), "invalid release id (`a/b`)", local=True),
    "dots": Damage(lambda w: w.change(release="../.."), "invalid release id (`../..`)", local=True),
    "two lines": Damage(
        lambda w: w.change(release="a\nb"), "invalid release id (`a b`)", local=True
    ),
    "folder": Damage(
        lambda w: w.replace_by_folder(POINTER), "is a folder", blocked=True, local=True
    ),
    "link to nothing": Damage(
        lambda w: w.link("nowhere"), "is a broken symbolic link", local=True
    ),
    "link to itself": Damage(
        lambda w: w.link("production.json"), "a symbolic link forms a cycle", local=True
    ),
    "pipe": Damage(
        lambda w: (w.path(POINTER).unlink(), os.mkfifo(w.path(POINTER))),
        "is not a regular file",
        blocked=True,
        local=True,
    ),
    "not allowed": Damage(
        lambda w: w.fail(errno.EACCES), "cannot be read: Permission denied", local=True
    ),
    "stale": Damage(lambda w: w.fail(errno.ESTALE), "cannot be read: Stale file", local=True),
    "disk error": Damage(lambda w: w.fail(errno.EIO), "cannot be read: Input/output", local=True),
    "channels is a file": Damage(
        lambda w: w.replace_by_file("channels"), "a file is in the way", blocked=True, local=True
    ),
    "newest entry": Damage(lambda w: w.spoil_history(3), None),
    "all entries": Damage(lambda w: w.spoil_history(1, 2, 3), None, moves="c"),
    "entry is a folder": Damage(lambda w: w.replace_by_folder(NEWEST), None, local=True),
    "history is a file": Damage(
        lambda w: w.replace_by_file("history"), None, local=True, moves="c"
    ),
    "newest entry and pointer": Damage(
        lambda w: (w.spoil_history(3), w.write(POINTER, b"")), DAMAGED, "b", "a", moves="ab"
    ),
    "newest entry, and gone": Damage(
        lambda w: (w.spoil_history(3), w.remove(POINTER)), "is gone", "b", "a", moves="ab"
    ),
    "all entries and pointer": Damage(
        lambda w: (w.spoil_history(1, 2, 3), w.write(POINTER, b"")), DAMAGED, None, None, moves=""
    ),
    "all entries, and gone": Damage(
        lambda w: (w.spoil_history(1, 2, 3), w.remove(POINTER)), "is gone", None, None, moves=""
    ),
    "entry of another number": Damage(
        lambda w: (w.write(NEWEST, w.state[NEWEST[:-6] + "2.json"]), w.write(POINTER, b"")),
        DAMAGED, "b", "a", moves="ab",
    ),
}  # fmt: skip
CASES = pytest.mark.parametrize(
    ("world", "damage"),
    [
        (kind, name)
        for kind in ("local", "s3")
        for name, damage in DAMAGES.items()
        if kind == "local" or not damage.local
    ],
    indirect=True,
)


@pytest.fixture(scope="module")
def build(
    tmp_path_factory: pytest.TempPathFactory,
    s3_endpoint: str,
    assemble_candidate: AssembleCandidate,
) -> Callable[[str], World]:
    """Publish and promote, once for each kind of store."""

    @functools.cache
    def make(kind: str) -> World:
        folder = tmp_path_factory.mktemp("world")
        s3 = kind == "s3"
        place = S3Store("releases", "world", s3_endpoint) if s3 else LocalStore(folder / "registry")
        registry = Registry(place)
        releases = {
            model: registry.publish(assemble_candidate(folder, model=model, ships=()), {})
            for model in MODELS
        }
        for model in "abc":
            registry.promote(releases[model], actor="ann", reason=f"try {model}")
        keys = [*place.list("channels/"), *place.list("history/")]
        return World(place, releases, {key: place.read(key) for key in keys})

    return make


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    build: Callable[[str], World],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """That registry on one kind of store, as it was."""
    built = build(request.param)
    built.restore()
    monkeypatch.setattr(store, "pieces", built.read)
    return built


@pytest.fixture
def damage(request: pytest.FixtureRequest, world: World) -> Damage:
    """One damage, done."""
    result = DAMAGES[request.param]
    result.harm(world)
    return result


@dataclass
class Said:
    """What a command answered."""

    status: int
    out: str
    lines: list[str]  # on stderr

    def warned_of(self, damage: Damage, words: str, world: World) -> None:
        """Check that stderr has warnings alone, and one line that tells the damage."""
        assert self.status == 0, self.lines
        assert all(line.startswith("decant: warning: ") for line in self.lines)
        message = [line for line in self.lines if f" {POINTER} in the registry" in line]
        assert len(message) == (1 if damage.message else 0), self.lines
        for line in message:
            assert damage.message and damage.message in line
            assert words in line
            if damage.known:
                assert f"its history ends at {world.releases[damage.known]}, promoted 20" in line
                assert " by ann" in line

    def refused(self, *words: str) -> None:
        """Check that the command ended with one line that has these words."""
        errors = [line for line in self.lines if not line.startswith("decant: warning: ")]
        assert (self.status, len(errors)) == (2, 1), self.lines
        assert errors[0].startswith("decant: error: ")
        assert all(word in errors[0] for word in words), errors


@pytest.fixture
def decant(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[..., Said]:
    """Run the command line on that registry."""
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    monkeypatch.setattr(releases, "open_registry", lambda settings, root: world.registry)

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = main([arguments[0], "--root", str(tmp_path), *arguments[1:]])
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err.splitlines())

    return run


Decant = Callable[..., Said]
REPAIR = "`decant promote RELEASE --channel production` repairs it"


def id_of(world: World, model: str | None) -> str | None:
    return world.releases[model] if model else None


@CASES
def test_what_can_be_read_is_shown(world: World, damage: Damage, decant: Decant) -> None:
    for check in (check_releases, check_status, check_trace):
        check(world, damage, decant)
    assert_strict(world, damage)


def check_releases(world: World, damage: Damage, decant: Decant) -> None:
    """`releases` lists them all and marks the one that the history knows to be in production."""
    known = id_of(world, damage.known)
    said = decant("releases", "--json")
    said.warned_of(damage, REPAIR, world)
    shown = {row["id"]: row["channels"] for row in json.loads(said.out)}
    assert shown == {r: ["production"] if r == known else [] for r in world.releases.values()}
    said = decant("releases")
    said.warned_of(damage, REPAIR, world)
    marked = [line for line in said.out.splitlines() if "<- production" in line]
    assert [line.split()[0] for line in marked] == ([known] if known else [])
    assert len(said.out.splitlines()) == len(MODELS)


def check_status(world: World, damage: Damage, decant: Decant) -> None:
    """`status` shows the release that the history knows, and says that it is damaged."""
    known = id_of(world, damage.known)
    said = decant("status", "--json")
    said.warned_of(damage, REPAIR, world)
    result = json.loads(said.out)
    assert (result["release"], result["damaged"]) == (known, damage.message is not None)
    assert [damage.message in problem for problem in result["problems"]] == [True] * result[
        "damaged"
    ]
    assert result.get("previous") == id_of(world, damage.before)
    assert result.get("students") == (["general"] if known else None)
    said = decant("status")
    said.warned_of(damage, REPAIR, world)
    first = said.out.splitlines()[0]
    assert first.startswith(f"production  {known or 'damaged, release unknown'}")
    assert ("damaged" in first) == (damage.message is not None)


def check_trace(world: World, damage: Damage, decant: Decant) -> None:
    """`trace` shows the moves of a release that can be read."""
    for model in "abc":
        said = decant("trace", world.releases[model], "--json")
        said.warned_of(damage, REPAIR, world)
        moves = json.loads(said.out)["channels"]
        expected = [("production", "promote", f"try {model}")] if model in damage.moves else []
        assert [(m["channel"], m["action"], m["reason"]) for m in moves] == expected
        if not damage.message and damage.moves == "abc":
            assert said.lines == []  # the pointer stands in for its damaged entry
    said = decant("trace", world.releases["c"])
    said.warned_of(damage, REPAIR, world)
    assert ("never promoted" in said.out) == ("c" not in damage.moves)


def assert_strict(world: World, damage: Damage) -> None:
    """The service is told what is wrong: `channel` raises, and never says that nothing is there."""
    if damage.message is None:
        assert world.registry.channel() == Change(**world.pointer)
    elif UNKNOWN in damage.message:  # whoever loads the release is told that there is none
        assert world.registry.channel() == Change(**{**world.pointer, "release": UNKNOWN})
    else:
        with pytest.raises(RegistryError) as caught:
            world.registry.channel()
        assert damage.message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "repairs it" in str(caught.value)


@CASES
def test_promote_writes_the_pointer_anew_and_rollback_works_afterwards(
    world: World, damage: Damage, decant: Decant
) -> None:
    known, d = id_of(world, damage.known), world.releases["d"]
    said = decant("promote", d, "--reason", "anew")
    if damage.blocked:
        said.refused("channels", "move it away")
        return
    said.warned_of(damage, "it was repaired", world)
    assert said.out == f"production: {known or 'unknown'} -> {d}\n"
    change = world.registry.channel()
    assert change is not None
    trail = [world.releases[model] for model in MODELS[: MODELS.index(damage.known) + 1]
             ] if damage.known else []  # fmt: skip
    assert (change.release, change.trail, change.number) == (d, trail, 4)
    assert decant("status").lines == []
    said = decant("rollback")
    if known is None:
        said.refused(f"production had no release before {d}")
    else:
        assert (said.status, said.out) == (0, f"production: {d} -> {known}\n")


@CASES
def test_promoting_what_was_in_production_writes_the_pointer_anew(
    world: World, damage: Damage, decant: Decant
) -> None:
    c = world.releases["c"]
    said = decant("promote", c)
    if damage.blocked:
        said.refused("channels", "move it away")
        return
    said.warned_of(damage, "it was repaired", world)
    change = world.registry.channel()
    assert change is not None
    assert (change.release, change.number) == (c, 4 if damage.message else 3)
    below = [world.releases["a"], world.releases["b"]] if damage.known else []
    assert change.trail == below
    said = decant("promote", c)
    assert said.out.startswith(f"production already points at {c}")
    assert said.lines == []


@CASES
def test_rollback_goes_back_from_what_the_history_says(
    world: World, damage: Damage, decant: Decant
) -> None:
    before = id_of(world, damage.before)
    said = decant("rollback", "--reason", "bad")
    if damage.blocked:
        said.refused("channels", "move it away")
    elif before is None:
        assert damage.message
        said.refused(damage.message, "nothing in its history can be read", REPAIR)
    else:
        said.warned_of(damage, "it was repaired", world)
        assert said.out == f"production: {id_of(world, damage.known)} -> {before}\n"
        change = world.registry.channel()
        assert change is not None
        assert (change.release, change.action, change.number) == (before, "rollback", 4)


@pytest.mark.parametrize(
    ("world", "name"),
    [
        (kind, name)
        for kind in ("local", "s3")
        for name in ("cut short", "gone", "unknown id", "link to nothing", "not allowed")
        if kind == "local" or not DAMAGES[name].local
    ],
    indirect=["world"],
)
def test_of_several_repairs_at_once_one_wins(world: World, name: str) -> None:
    DAMAGES[name].harm(world)
    racers = [world.releases[model] for model in "abd"]
    barrier, won, lost = threading.Barrier(len(racers)), [], []

    class Racing(Registry):
        def fit_to_serve(self, given: str) -> str:
            barrier.wait(60)  # every racer has read the damaged pointer
            return given

    def promote(release: str) -> None:
        try:
            won.append(Racing(world.store).promote(release).release)
        except ChannelMovedError as error:
            lost.append(error)

    threads = [threading.Thread(target=promote, args=(release,)) for release in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, len(racers) - 1)
    assert [change.release for change in world.registry.history()][-1:] == won
    assert f"production was moved to {won[0]}" in str(lost[0])
