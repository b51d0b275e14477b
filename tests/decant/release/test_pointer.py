"""A channel's history: which entry is the newest, what is wrong with the others."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from decant.files import LARGEST_RECORD
from decant.release.pointer import History, Pointer, parse_change
from decant.release.records import Change, RegistryError, dump
from decant.release.store import Store

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def change(number: int, **more: Any) -> Change:
    values = {"channel": "production", "action": "promote", "release": f"{number:016x}"}
    values |= {"previous": None, "trail": [], "at": AT, "by": "ann", "reason": "", "change": "x"}
    return Change(**{"number": number, **values, **more})


def write(store: Store, number: int, content: bytes | None = None, **more: Any) -> None:
    key = f"history/production/{number:08d}.json"
    store.write_new(key, dump(change(number, **more)) if content is None else content)


def test_the_newest_entry_that_can_be_read(store: Store) -> None:
    history = History(store, "production")
    assert history.newest() == (None, 0)
    write(store, 1)
    write(store, 2)
    assert history.newest() == (change(2), 0)
    write(store, 3, b"{")
    write(store, 4, b"[]")
    assert history.newest() == (change(2), 2)


def test_numbers_are_compared_as_numbers(store: Store) -> None:
    for number in (99_999_999, 100_000_000):
        write(store, number)
    result, _ = History(store, "production").newest()
    assert result is not None and result.number == 100_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Invalid JSON"),
        (dump(change(7)), "it is change 7"),
        (dump(change(1, channel="canary")), "it belongs to channel `canary`"),
        (dump(change(1, release="abc")), "invalid release id"),
        (dump(change(1, trail=["abc"])), "invalid id of an earlier release"),
        (dump(change(1, previous="../..")), "invalid id of an earlier release"),
        (dump(change(1, reason="x" * LARGEST_RECORD)), "it has more than 1,000,000 bytes"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told_by_its_key(
    store: Store, content: bytes, message: str
) -> None:
    write(store, 1, content)
    write(store, 2)
    changes, damaged = History(store, "production").entries()
    assert changes == {2: change(2)}
    assert list(damaged) == [1]
    assert "history/production/00000001.json in the registry is damaged: " in damaged[1]
    assert message in damaged[1]


def test_of_a_large_record_no_more_is_read_than_tells_that(store: Store) -> None:
    store.write_new("channels/production.json", b"x" * (LARGEST_RECORD + 5_000_000))
    result = store.read_versioned("channels/production.json")
    assert result is not None and len(result[0]) == LARGEST_RECORD + 1
    assert store.read("channels/production.json") == result[0]


def test_what_a_terminal_would_obey_is_not_shown(store: Store) -> None:
    write(store, 1, by="\x1b[31mann", reason="a\nb")
    result, _ = History(store, "production").newest()
    assert result is not None and (result.by, result.reason) == (" [31mann", "a b")


def test_a_damaged_entry_is_replaced_and_a_good_one_is_kept(store: Store) -> None:
    history = History(store, "production")
    write(store, 1, b"{")
    history.keep(change(1))
    assert history.entries() == ({1: change(1)}, {})
    history.keep(change(1, by="bob"))
    assert history.entries() == ({1: change(1)}, {})
    history.keep(change(2))
    assert history.newest() == (change(2), 0)


@pytest.mark.parametrize(
    ("pointer", "words"),
    [
        (Pointer("p", change(1), "v", "is gone"), "its history ends at 0000000000000001, promoted"),
        (Pointer("p", change(2, action="rollback"), "v", "is gone"), "rolled back to 2026-11-24"),
        (Pointer("p", change(1), "v", "is gone", 2), "and 2 later change(s) cannot be read"),
        (Pointer("p", None, "v", "is gone", 2), "nothing in its history can be read"),
        (Pointer("p", None, "v", "is gone"), "it has no history"),
        (Pointer("p", change(1, by="two\nlines"), "v", "is gone"), "by two lines"),
    ],
)
def test_a_harmed_pointer_tells_what_the_history_knows(pointer: Pointer, words: str) -> None:
    message = pointer.summary()
    assert message.startswith("channels/p.json in the registry is gone; ")
    assert words in message and "\n" not in message


def test_only_a_sound_pointer_or_a_whole_history_is_certain() -> None:
    assert Pointer("p").certain
    assert Pointer("p", change(1), "v", "is gone").certain
    assert not Pointer("p", change(1), "v", "is gone", 1).certain
    assert not Pointer("p", None, "v", "is gone").certain


@pytest.mark.parametrize(
    ("field", "wrong"), [("at", "2026-01-01T00:00:00"), ("number", 0), ("trail", [1])]
)
def test_a_change_with_a_wrong_value_is_none(field: str, wrong: object) -> None:
    content = json.dumps({**change(1).model_dump(mode="json"), field: wrong}).encode()
    with pytest.raises(RegistryError, match=f"is damaged: {field}"):
        parse_change("key", content, "production")
