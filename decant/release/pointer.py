"""A channel's pointer and history, which can be read even if damaged."""

import re
from contextlib import suppress
from dataclasses import dataclass

from decant.files import LARGEST_RECORD
from decant.release.candidate import ID_LENGTH
from decant.release.records import Change, RegistryError, dump, parse
from decant.release.store import (
    DAMAGED_KEY,
    KeyExistsError,
    MissingKeyError,
    Store,
    SwapLostError,
    UnreadableKeyError,
)

RELEASE_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
ENTRY_KEY = re.compile(r"history/([^/]+)/(\d{8,})\.json")
GONE = "is gone"


@dataclass(frozen=True)
class Pointer:
    """The state of a channel's pointer.

    Attributes:
        change: the channel's last change, None before the first; from the history if the pointer
            is damaged, None if the history has no readable change either.
        version: of the pointer, for the store's `swap`.
        problem: description of the damage, None if the pointer is intact.
        unread: number of later changes in the history that cannot be read.
        blocked: the pointer cannot be overwritten until an obstacle is moved away.
    """

    channel: str
    change: Change | None = None
    version: str | None = None
    problem: str | None = None
    unread: int = 0
    blocked: bool = False

    @property
    def release(self) -> str | None:
        """The channel's last known release."""
        return self.change.release if self.change else None

    @property
    def certain(self) -> bool:
        """Whether `change` is known to be the channel's last one."""
        return self.problem is None or (self.change is not None and not self.unread)

    def summary(self) -> str:
        """The damage and the last known change in one line."""
        line = f"{pointer_key(self.channel)} in the registry {self.problem}; {self._history()}"
        return " ".join(line.split())

    def advice(self) -> str:
        """How to repair it."""
        first = "move it away, then " if self.blocked else ""
        return f"{first}`decant promote RELEASE --channel {self.channel}` repairs it"

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
        """Number → key of every entry, oldest first.

        Raises:
            ObstructedKeyError, UnreadableKeyError: they cannot be listed.
        """
        keys = self.store.list(f"history/{self.channel}/")
        entries = {int(match[2]): key for key in keys if (match := ENTRY_KEY.fullmatch(key))}
        return dict(sorted(entries.items()))

    def newest(self) -> tuple[Change | None, int]:
        """The newest readable entry, and the number of newer ones that cannot be read.

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
        """Number → change of readable entries, number → problem of the others."""
        try:
            entries = {number: self.read(number, key) for number, key in self.keys().items()}
        except DAMAGED_KEY as error:
            entries = {0: str(error)}
        changes = {number: entry for number, entry in entries.items() if isinstance(entry, Change)}
        return changes, {n: problem for n, problem in entries.items() if isinstance(problem, str)}

    def read(self, number: int, key: str) -> Change | str:
        """An entry, or a description of its damage."""
        try:
            change = parse_change(key, self.store.read(key), self.channel)
        except (RegistryError, MissingKeyError, UnreadableKeyError) as error:
            return " ".join(str(error).split())
        if change.number != number:
            return f"{key} in the registry is damaged: it is change {change.number}"
        if not RELEASE_ID.fullmatch(change.release):
            return f"{key} in the registry is damaged: invalid release id"
        return change

    def keep(self, change: Change) -> None:
        """Write a change's entry unless it exists; replace a damaged one."""
        key = f"history/{self.channel}/{change.number:08d}.json"
        try:
            self.store.write_new(key, dump(change))
        except KeyExistsError:
            if isinstance(self.read(change.number, key), Change):
                return
            stored = self.store.read_versioned(key)
            with suppress(SwapLostError):  # replaced concurrently
                self.store.swap(key, stored[1] if stored else None, dump(change))


def parse_change(key: str, content: bytes, channel: str) -> Change:
    """Parse the content of `key` as a change of `channel`.

    Raises:
        RegistryError: not a change, or a change of another channel.
    """
    if len(content) > LARGEST_RECORD:
        problem = f"it has more than {LARGEST_RECORD:,} bytes"
        raise RegistryError(f"{key} in the registry is damaged: {problem}")
    change = parse(Change, key, content)
    if change.channel != channel:
        raise RegistryError(
            f"{key} in the registry is damaged: it belongs to channel `{change.channel}`"
        )
    before = change.trail if change.previous is None else [*change.trail, change.previous]
    if not all(map(RELEASE_ID.fullmatch, before)):
        raise RegistryError(f"{key} in the registry is damaged: invalid id of an earlier release")
    texts = {"by": printable(change.by), "reason": printable(change.reason)}
    return change.model_copy(update=texts)


def printable(text: str) -> str:
    """Text without control characters, safe to print in a terminal."""
    return "".join(mark if mark.isprintable() else " " for mark in text)


def pointer_key(channel: str) -> str:
    """Key of a channel's pointer."""
    return f"channels/{channel}.json"
