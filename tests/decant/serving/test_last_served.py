"""The note of what was served last is whole or not there, and nothing else is taken for one."""

import os
from typing import Any

import pytest

from decant.files import ContentError
from decant.serving.last_served import LARGEST, LastServed


@pytest.fixture
def note(shop: Any) -> LastServed:
    return LastServed(shop.root / "cache", "production")


def test_a_note_is_whole_or_not_there(
    shop: Any, note: LastServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.promote(1)
    first = shop.registry.channel()
    assert note.read() is None
    note.write(first)
    shop.promote(2)

    def killed(*places: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        note.write(shop.registry.channel())
    assert note.read() == first
    assert [path.name for path in (shop.root / "cache").iterdir()] == ["production.json"]


def test_what_is_noted_of_one_channel_says_nothing_of_another(shop: Any, note: LastServed) -> None:
    shop.promote(1)
    note.write(shop.registry.channel())
    assert LastServed(note.folder, "canary").read() is None


def test_a_note_is_read_from_a_file_of_a_bounded_size_alone(shop: Any, note: LastServed) -> None:
    note.folder.mkdir()
    path = note.folder / "production.json"
    os.mkfifo(path)
    with pytest.raises(ContentError, match="neither a file nor a folder"):
        note.read()
    path.unlink()
    path.symlink_to(shop.root / "params.yaml")
    with pytest.raises(ContentError, match="a symbolic link"):
        note.read()
    path.unlink()
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ContentError, match="larger than 1000000 bytes"):
        note.read()
