"""The registry: releases, and the channels that point at them, with their history.

- `channels/<name>.json`: the pointer, which is the channel's last change
- `history/<name>/<number>.json`: every change, one entry each

A channel is moved by one compare-and-swap of its pointer. The pointer *is* the newest entry of the
history, so a crash cannot leave a move without its entry or an entry without its move; the copy
under history/ is written right after the move, or else before the next one.
"""

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from decant.params.release import RegistryParams
from decant.release.pointer import (
    ENTRY_KEY,
    GONE,
    RELEASE_ID,
    History,
    Pointer,
    parse_change,
    pointer_key,
)
from decant.release.records import (
    Change,
    ChannelMovedError,
    NothingToRollBackError,
    RegistryError,
    UnknownReleaseError,
    dump,
)
from decant.release.releases import MANIFEST, Releases, whoami
from decant.release.store import DAMAGED_KEY, LocalStore, StoreError, SwapLostError

PRODUCTION = "production"
CHANNELS = (PRODUCTION, "canary")  # predefined; others are created on request
TRAIL = 50  # earlier releases kept for rollback, by channel
CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
POINTER_KEY = re.compile(r"channels/([^/]+)\.json")
SHOWN, SHOWN_PROBLEMS = 40, 3  # in a message: characters of an invalid value, damaged entries

logger = logging.getLogger(__name__)


class Registry(Releases):
    """Releases and channels of one store."""

    def channels(self) -> list[str]:
        """Names of the channels that have a pointer or a history."""
        names = [
            match[1]
            for prefix, pattern in (("channels/", POINTER_KEY), ("history/", ENTRY_KEY))
            for key in self._listed(prefix)
            if (match := pattern.fullmatch(key))
        ]
        return sorted({name for name in names if CHANNEL_NAME.fullmatch(name)})

    def channel(self, name: str = PRODUCTION) -> Change | None:
        """The last change of a channel, None before the first promotion.

        Raises:
            RegistryError: its pointer is damaged, or missing although there is a history.
        """
        pointer = self._read(name)
        if pointer.problem:
            raise RegistryError(f"{pointer.summary()}; {pointer.advice()}")
        return pointer.change

    def pointer(self, channel: str = PRODUCTION) -> Pointer:
        """A channel's pointer, taken from its history if the pointer is damaged or missing.

        A pointer to a release missing from the registry counts as damaged; its change is kept if
        it is newer than the history.
        """
        pointer = self._read(channel)
        own = pointer.change
        if pointer.problem or own is None or self._has(own.release):
            return pointer
        absent = replace(pointer, problem=f"names {own.release}, which is not in the registry")
        try:
            newest, unread = self._log(channel).newest()
        except DAMAGED_KEY:
            return absent
        if newest is None or own.number > newest.number:
            return absent
        return replace(absent, change=newest, unread=unread)

    def promote(
        self, given: str, channel: str = PRODUCTION, reason: str = "", actor: str | None = None
    ) -> Change:
        """Point a channel at a release, after verifying all its files.

        Does nothing if the channel already points at it. A damaged or missing pointer is rewritten
        from the channel's history plus this change.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError: it must not be served.
            ChannelMovedError: the channel was moved concurrently.
        """
        pointer = self.pointer(channel)
        release = self.fit_to_serve(given)
        last = pointer.change
        if last and last.release == release and not pointer.problem:
            return last
        trail = [*last.trail, last.release] if last else []
        earlier = trail[:-1] if trail[-1:] == [release] else trail
        return self._move(pointer, "promote", [*earlier, release], reason, actor)

    def rollback(
        self,
        channel: str = PRODUCTION,
        to: str | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Change:
        """Point a channel at its previous release, or at an earlier one.

        If the pointer is damaged, the last change in the history counts as the current one.

        Raises:
            NothingToRollBackError: no earlier release, or `to` was never in this channel.
            UnknownReleaseError, DamagedReleaseError, GateFailedError: it must not be served.
            ChannelMovedError: the channel was moved concurrently.
        """
        pointer = self.pointer(channel)
        if pointer.change is None:
            if pointer.problem:
                raise NothingToRollBackError(f"{pointer.summary()}; {pointer.advice()}")
            known = ", ".join(self.channels()) or "none"
            raise NothingToRollBackError(
                f"nothing was promoted to {channel} yet; channels: {known}"
            )
        path = pointer.change.trail[: rollback_place(pointer.change, to) + 1]
        try:
            self.fit_to_serve(path[-1])
        except UnknownReleaseError:
            raise NothingToRollBackError(
                f"{path[-1]}, the previous release of {channel}, is no longer in the registry; "
                f"{_earlier(path[:-1])}"
            ) from None
        return self._move(pointer, "rollback", path, reason, actor)

    def history(self, channel: str = PRODUCTION) -> list[Change]:
        """All readable changes of a channel, oldest first; logs a warning about the others."""
        pointer = self.pointer(channel)
        changes, damaged = self._changes(pointer)
        if pointer.problem:
            logger.warning("%s; %s", pointer.summary(), pointer.advice())
        if damaged:
            first = "; ".join([*damaged.values()][:SHOWN_PROBLEMS])
            logger.warning(
                "skipped %d unreadable change(s) of %s: %s", len(damaged), channel, first
            )
        return [changes[number] for number in sorted(changes)]

    def rolled_back(self, release: str, channel: str = PRODUCTION) -> Change | None:
        """The rollback that removed a release from a channel, unless it was promoted again."""
        by_number, _ = self._changes(self.pointer(channel))
        changes = [by_number[number] for number in sorted(by_number)]
        for before, change in zip(reversed(changes[:-1]), reversed(changes[1:]), strict=True):
            if change.release == release:
                return None
            if change.action == "rollback" and before.release == release:
                return change
        return None

    def unread_since(self, moment: datetime, channel: str = PRODUCTION) -> list[str]:
        """Problems of unreadable changes that may be after `moment`."""
        changes, damaged = self._changes(self.pointer(channel))
        before = max((n for n, change in changes.items() if change.at <= moment), default=-1)
        return [problem for number, problem in damaged.items() if number > before]

    def _changes(self, pointer: Pointer) -> tuple[dict[int, Change], dict[int, str]]:
        """Number → change of readable ones, number → problem of the others."""
        changes, damaged = self._log(pointer.channel).entries()
        if pointer.change:
            changes[pointer.change.number] = pointer.change
            damaged.pop(pointer.change.number, None)
        return changes, damaged

    def _read(self, channel: str) -> Pointer:
        """A channel's pointer, with the history's last change if it is damaged or missing."""
        pointer = self._as_written(channel)
        if not pointer.problem:
            return pointer
        try:
            change, unread = self._log(channel).newest()
        except DAMAGED_KEY:
            problem = "is missing" if pointer.problem == GONE else pointer.problem
            return replace(pointer, problem=problem, unread=1)
        if pointer.problem == GONE:
            if change is None and not unread:
                return Pointer(channel)
            pointer = self._as_written(channel)  # in case of a concurrent first promotion
            if not pointer.problem:
                return pointer
        return replace(pointer, change=change, unread=unread)

    def _as_written(self, channel: str) -> Pointer:
        key = pointer_key(_checked_name(channel))
        try:
            stored = self.store.read_versioned(key)
        except DAMAGED_KEY as error:
            version = error.version
            return Pointer(channel, None, version, error.problem, blocked=version is None)
        if stored is None:
            return Pointer(channel, problem=GONE)
        content, version = stored
        try:
            change = parse_change(key, content, channel)
        except RegistryError as error:
            problem = str(error).partition(" is damaged: ")[2]
            return Pointer(channel, None, version, f"is damaged ({problem})")
        return Pointer(channel, change, version, self._misnamed(change.release))

    def _misnamed(self, release: str) -> str | None:
        """The problem of a pointer's release id, None if it is valid."""
        if RELEASE_ID.fullmatch(release):
            return None
        try:
            matches = [known for known in self.ids() if release and known.startswith(release)]
        except DAMAGED_KEY:
            matches = []
        if not matches:
            return f"has an invalid release id (`{release[:SHOWN]}`)"
        shown = f"release {matches[0]}" if len(matches) == 1 else f"{len(matches)} releases"
        return f"names `{release}`, a prefix of {shown}"

    def _has(self, release: str) -> bool:
        try:
            return self.store.exists(f"releases/{release}/{MANIFEST}")
        except DAMAGED_KEY:
            return True  # the release is damaged, not absent

    def _log(self, channel: str) -> History:
        return History(self.store, _checked_name(channel))

    def _listed(self, prefix: str) -> list[str]:
        try:
            return self.store.list(prefix)
        except DAMAGED_KEY:  # `pointer` and `history` report it
            return []

    def _next_number(self, pointer: Pointer) -> int:
        try:
            copied = [*self._log(pointer.channel).keys()]
        except DAMAGED_KEY:
            copied = []
        return max([*copied, pointer.change.number if pointer.change else 0]) + 1

    def _move(
        self,
        pointer: Pointer,
        action: Literal["promote", "rollback"],
        path: list[str],
        reason: str,
        actor: str | None,
    ) -> Change:
        """Swap the pointer; `path` is the new history of releases, ending with the target."""
        channel, log = pointer.channel, self._log(pointer.channel)
        self.store.probe()
        if pointer.change:
            try:
                log.keep(pointer.change)
            except DAMAGED_KEY as error:
                logger.warning(
                    "change %d was not copied to the history: %s", pointer.change.number, error
                )
        change = Change(
            number=self._next_number(pointer),
            channel=channel,
            action=action,
            release=path[-1],
            previous=path[-2] if len(path) > 1 else None,
            trail=path[:-1][-TRAIL:],
            at=self.now(),
            by=actor or whoami(),
            reason=reason,
            change=uuid.uuid4().hex,
        )
        try:
            self.store.swap(pointer_key(channel), pointer.version, dump(change))
        except SwapLostError:
            now = self.pointer(channel).release
            raise ChannelMovedError(channel, now or "nothing") from None
        if pointer.problem:
            logger.warning("%s; it was repaired", pointer.summary())
        try:
            log.keep(change)
        except (StoreError, OSError) as error:
            logger.warning(
                "%s moved; its history entry is written at the next move: %s", channel, error
            )
        return change


def open_registry(settings: RegistryParams, root: Path) -> Registry:
    """The registry that params.yaml configures; a local folder is relative to `root`."""
    if settings.kind == "local":
        return Registry(LocalStore(root / settings.folder))
    from decant.release.s3 import S3Store  # importing boto3 takes 0.2 s

    assert settings.bucket, "params ask for a bucket"
    return Registry(S3Store(settings.bucket, settings.prefix, settings.endpoint))


def rollback_place(pointer: Change, to: str | None) -> int:
    """Index of a rollback's target in the channel's list of earlier releases.

    Raises:
        NothingToRollBackError: the list is empty, or `to` matches none or several releases.
    """
    trail, channel = pointer.trail, pointer.channel
    if not trail:
        raise NothingToRollBackError(f"{channel} had no release before {pointer.release}")
    if to is None:
        return len(trail) - 1
    places = [place for place, release in enumerate(trail) if to and release.startswith(to)]
    if len({trail[place] for place in places}) != 1:
        problem = "matches several releases" if places else "matches no release"
        before = ", ".join(dict.fromkeys(reversed(trail)))
        raise NothingToRollBackError(
            f"`{to}` {problem} of {channel} before {pointer.release}; earlier releases: {before}"
        )
    return places[-1]


def _earlier(trail: Sequence[str]) -> str:
    """A hint at the earlier releases of a channel."""
    if not trail:
        return "there is no earlier one: `decant releases` lists all releases to promote"
    earlier = ", ".join(dict.fromkeys(reversed(trail)))
    return f"earlier releases: {earlier} (`decant rollback --to ID`)"


def _checked_name(channel: str) -> str:
    if not CHANNEL_NAME.fullmatch(channel):
        raise RegistryError(
            f"invalid channel name `{channel}`: use lowercase letters, digits, `_` and `-`"
        )
    return channel
