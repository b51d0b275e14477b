"""The registry: releases, and the channels that point at them, with their history.

- `channels/<name>.json`: the pointer, which is the channel's last change
- `history/<name>/<number>.json`: every change, one entry each

A channel moves by one compare-and-swap of its pointer. The pointer *is* the history's newest
entry, so no crash can leave a move without its entry or an entry without its move; the copy under
history/ is made right after the move, or else before the next one.
"""

import logging
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from decant.params import RegistryParams
from decant.release.records import (
    Change,
    ChannelMovedError,
    NothingToRollBackError,
    RegistryError,
    dump,
    parse,
)
from decant.release.releases import Releases, whoami
from decant.release.store import KeyExistsError, LocalStore, StoreError, SwapLostError

PRODUCTION = "production"
TRAIL = 50  # earlier releases of a channel that a rollback can reach
CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
COPY_NAME = re.compile(r"\d{8,}\.json")  # of a change under history/


@dataclass(frozen=True)
class Pointer:
    """Where a channel points: its last change, None before the first, and its version in the
    store. `damaged`: it cannot be read, and `change` is the newest one that the history has."""

    change: Change | None
    version: str | None
    damaged: bool = False


logger = logging.getLogger(__name__)


class Registry(Releases):
    """Releases and channels of one store."""

    def channels(self) -> list[str]:
        """Names of the channels that point at something."""
        keys = self.store.list("channels/")
        names = [key.removeprefix("channels/").removesuffix(".json") for key in keys]
        return [name for name in names if _is_name(name) and _pointer_key(name) in keys]

    def channel(self, name: str = PRODUCTION) -> Change | None:
        """Where a channel points, and since when; None before the first promotion.

        Raises:
            RegistryError: its pointer is damaged.
        """
        pointer = self._pointer(name)
        if pointer.damaged:
            last = f", its history ends at {pointer.change.release}" if pointer.change else ""
            raise RegistryError(
                f"{_pointer_key(name)} in the registry is damaged{last}; `decant promote RELEASE "
                f"--channel {name}` writes it anew"
            )
        return pointer.change

    def promote(
        self, given: str, channel: str = PRODUCTION, reason: str = "", actor: str | None = None
    ) -> Change:
        """Point a channel at a release, after every file of it was checked.

        Promoting what the channel points at already changes nothing; a damaged pointer is
        written anew, on top of the channel's history.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError: it must not be served.
            ChannelMovedError: somebody else moved the channel meanwhile.
        """
        pointer = self._pointer(channel)
        release = self.fit_to_serve(given)
        last = pointer.change
        if last and last.release == release and not pointer.damaged:
            return last
        trail = [*last.trail, last.release] if last else []
        below = trail[:-1] if trail[-1:] == [release] else trail
        return self._move(channel, pointer, "promote", [*below, release], reason, actor)

    def rollback(
        self,
        channel: str = PRODUCTION,
        to: str | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Change:
        """Point a channel at the release it had before, or at an earlier one of its own.

        Raises:
            NothingToRollBackError: there is none, or `to` was not in this channel before.
            UnknownReleaseError, DamagedReleaseError, GateFailedError: it must not be served.
            ChannelMovedError: somebody else moved the channel meanwhile.
        """
        pointer = self._pointer(channel)
        if pointer.change is None:
            known = ", ".join(self.channels()) or "none"
            raise NothingToRollBackError(
                f"nothing was promoted to {channel} yet; channels: {known}"
            )
        path = pointer.change.trail[: rollback_place(pointer.change, to) + 1]
        self.fit_to_serve(path[-1])
        return self._move(channel, pointer, "rollback", path, reason, actor)

    def history(self, channel: str = PRODUCTION) -> list[Change]:
        """Every change of a channel, oldest first."""
        keys = self._copies(channel)
        changes = {c.number: c for c in (parse(Change, key, self.store.read(key)) for key in keys)}
        if pointer := self.channel(channel):
            changes[pointer.number] = pointer
        return [changes[number] for number in sorted(changes)]

    def rolled_back(self, release: str, channel: str = PRODUCTION) -> Change | None:
        """The rollback that took a release off a channel, unless it has been back there since."""
        changes = self.history(channel)
        for before, change in zip(reversed(changes[:-1]), reversed(changes[1:]), strict=True):
            if change.release == release:
                return None
            if change.action == "rollback" and before.release == release:
                return change
        return None

    def _pointer(self, channel: str) -> Pointer:
        key = _pointer_key(channel)
        found = self.store.read_versioned(key)
        if found is None:
            return Pointer(None, None)
        try:
            return Pointer(parse(Change, key, found[0]), found[1])
        except RegistryError:
            return Pointer(self._newest_copy(channel), found[1], damaged=True)

    def _copies(self, channel: str) -> list[str]:
        """Keys of a channel's history, oldest first."""
        keys = self.store.list(f"history/{_checked_name(channel)}/")
        return [key for key in keys if COPY_NAME.fullmatch(key.rpartition("/")[2])]

    def _newest_copy(self, channel: str) -> Change | None:
        for key in reversed(self._copies(channel)):
            with suppress(RegistryError):  # damaged as well: the one before
                return parse(Change, key, self.store.read(key))
        return None

    def _next_number(self, channel: str, last: Change | None) -> int:
        names = [key.rpartition("/")[2] for key in self._copies(channel)]
        copied = [int(name.removesuffix(".json")) for name in names]
        return max([*copied, last.number if last else 0]) + 1

    def _move(
        self,
        channel: str,
        pointer: Pointer,
        action: Literal["promote", "rollback"],
        path: list[str],
        reason: str,
        actor: str | None,
    ) -> Change:
        """Swap the pointer; `path` is the new trail with the release to point at as its end."""
        self.store.probe()
        if pointer.change and not pointer.damaged:
            self._copy_to_history(pointer.change)
        change = Change(
            number=self._next_number(channel, pointer.change),
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
            self.store.swap(_pointer_key(channel), pointer.version, dump(change))
        except SwapLostError:
            now = self._pointer(channel).change
            raise ChannelMovedError(channel, now.release if now else "nothing") from None
        try:
            self._copy_to_history(change)
        except (StoreError, OSError) as error:
            logger.warning("%s moved; its history is copied at the next move: %s", channel, error)
        return change

    def _copy_to_history(self, change: Change) -> None:
        with suppress(KeyExistsError):
            key = f"history/{change.channel}/{change.number:08d}.json"
            self.store.write_new(key, dump(change))


def open_registry(settings: RegistryParams, root: Path) -> Registry:
    """The registry that params.yaml names; a local folder lies in the project's folder `root`."""
    if settings.kind == "local":
        return Registry(LocalStore(root / settings.folder))
    from decant.release.s3 import S3Store  # boto3 takes 0.2 s that a local registry need not wait

    assert settings.bucket, "params ask for a bucket"
    return Registry(S3Store(settings.bucket, settings.prefix, settings.endpoint))


def rollback_place(pointer: Change, to: str | None) -> int:
    """Where in the channel's trail the release is that a rollback goes to.

    Raises:
        NothingToRollBackError: the trail is empty, or none or several of it begin with `to`.
    """
    trail, channel = pointer.trail, pointer.channel
    if not trail:
        raise NothingToRollBackError(f"{channel} had no release before {pointer.release}")
    if to is None:
        return len(trail) - 1
    places = [place for place, release in enumerate(trail) if to and release.startswith(to)]
    if len({trail[place] for place in places}) != 1:
        problem = "begins several releases" if places else "was no release"
        before = ", ".join(dict.fromkeys(reversed(trail)))
        raise NothingToRollBackError(
            f"`{to}` {problem} of {channel} before {pointer.release}; before it: {before}"
        )
    return places[-1]


def _pointer_key(channel: str) -> str:
    return f"channels/{_checked_name(channel)}.json"


def _is_name(channel: str) -> bool:
    return CHANNEL_NAME.fullmatch(channel) is not None


def _checked_name(channel: str) -> str:
    if not _is_name(channel):
        raise RegistryError(
            f"`{channel}` is no name of a channel: small letters, digits, _ and - make one"
        )
    return channel
