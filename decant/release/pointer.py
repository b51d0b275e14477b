"""A channel's pointer and its history, read whatever has become of them."""

import re
from contextlib import suppress
from dataclasses import dataclass

from decant.release.candidate import ID_LENGTH
from decant.release.records import Change, RegistryError, dump, parse
from decant.release.store import (
    KeyExistsError,
    MissingKeyError,
    ObstructedKeyError,
    Store,
    SwapLostError,
    UnreadableKeyError,
)

RELEASE_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
ENTRY_KEY = re.compile(r"history/([^/]+)/(\d{8,})\.json")
GONE = "is gone"
HARMED = (ObstructedKeyError, UnreadableKeyError)  # one key is; the store itself is well


@dataclass(frozen=True)
class Pointer:
    """Where a channel points.

    Attributes:
        change: the channel's last change; None before the first. If the pointer is harmed, the
            last change that the history knows, None if it knows none.
        version: of the pointer, for the store's `swap`.
        problem: what is wrong with the pointer; None if nothing is.
        unread: how many later changes the history has that cannot be read.
        blocked: no write can replace what lies in the pointer's place.
    """

    channel: str
    change: Change | None = None
    version: str | None = None
    problem: str | None = None
    unread: int = 0
    blocked: bool = False

    @property
    def release(self) -> str | None:
        """The release that the channel points at, as far as it is known."""
        return self.change.release if self.change else None

    @property
    def certain(self) -> bool:
        """Whether `change` is the channel's last one as far as the registry can tell."""
        return self.problem is None or (self.change is not None and not self.unread)

    def told(self) -> str:
        """What is wrong, and what the history knows, in one line."""
        line = f"{pointer_key(self.channel)} in the registry {self.problem}; {self._history()}"
        return " ".join(line.split())

    def advice(self) -> str:
        """What to do about it."""
        first = "move it away, then " if self.blocked else ""
        return f"{first}`decant promote RELEASE --channel {self.channel}` writes it anew"

    def _history(self) -> str:
        if self.change is None:
            return "nothing in its history can be read" if self.unread else "it has no history"
        moved = "promoted" if self.change.action == "promote" else "rolled back to"
        later = f", and {self.unread} later change(s) cannot be read" if self.unread else ""
        return (
            f"its history ends at {self.change.release}, {moved} {self.change.at:%F %T} by "
            f"{self.change.by}{later}"
        )


class History:
    """The entries of a channel's history: `history/<channel>/<number>.json`, one per change."""

    def __init__(self, store: Store, channel: str) -> None:
        self.store, self.channel = store, channel

    def keys(self) -> dict[int, str]:
        """Number → key of every entry, the oldest first.

        Raises:
            ObstructedKeyError, UnreadableKeyError: they cannot be listed.
        """
        keys = self.store.list(f"history/{self.channel}/")
        found = {int(match[2]): key for key in keys if (match := ENTRY_KEY.fullmatch(key))}
        return dict(sorted(found.items()))

    def newest(self) -> tuple[Change | None, int]:
        """The newest entry that can be read, and how many newer ones cannot.

        Raises:
            ObstructedKeyError, UnreadableKeyError: they cannot be listed.
        """
        unread = 0
        for number, key in reversed(self.keys().items()):
            entry = self.read(number, key)
            if isinstance(entry, Change):
                return entry, unread
            unread += 1
        return None, unread

    def entries(self) -> tuple[dict[int, Change], dict[int, str]]:
        """Number → change of the entries that can be read, number → problem of the others."""
        try:
            found = {number: self.read(number, key) for number, key in self.keys().items()}
        except HARMED as error:
            found = {0: str(error)}
        changes = {number: entry for number, entry in found.items() if isinstance(entry, Change)}
        return changes, {n: problem for n, problem in found.items() if isinstance(problem, str)}

    def read(self, number: int, key: str) -> Change | str:
        """An entry, or what is wrong with it."""
        try:
            change = parse_change(key, self.store.read(key), self.channel)
        except (RegistryError, MissingKeyError, UnreadableKeyError) as error:
            return " ".join(str(error).split())
        if change.number != number:
            return f"{key} in the registry is damaged: it is change {change.number}"
        if not RELEASE_ID.fullmatch(change.release):
            return f"{key} in the registry is damaged: it names no release"
        return change

    def keep(self, change: Change) -> None:
        """Write a change's entry unless it is there; a damaged one is replaced."""
        key = f"history/{self.channel}/{change.number:08d}.json"
        try:
            self.store.write_new(key, dump(change))
        except KeyExistsError:
            if isinstance(self.read(change.number, key), Change):
                return
            found = self.store.read_versioned(key)
            with suppress(SwapLostError):  # somebody else has just replaced it
                self.store.swap(key, found[1] if found else None, dump(change))


def parse_change(key: str, content: bytes, channel: str) -> Change:
    """A change of `channel` from what is stored under `key`.

    Raises:
        RegistryError: it is none, or another channel's.
    """
    change = parse(Change, key, content)
    if change.channel != channel:
        raise RegistryError(f"{key} in the registry is damaged: it is that of `{change.channel}`")
    return change


def pointer_key(channel: str) -> str:
    """Where a channel's pointer is stored."""
    return f"channels/{channel}.json"
