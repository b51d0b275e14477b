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

Pointer = tuple[Change, str]  # the change, and its version in the store

logger = logging.getLogger(__name__)


class Registry(Releases):
    """Releases and channels of one store."""

    def channels(self) -> list[str]:
        """Names of the channels that point at something."""
        keys = self.store.list("channels/")
        return [key.removeprefix("channels/").removesuffix(".json") for key in keys]

    def channel(self, name: str = PRODUCTION) -> Change | None:
        """Where a channel points, and since when; None before the first promotion."""
        pointer = self._pointer(name)
        return pointer[0] if pointer else None

    def promote(
        self, given: str, channel: str = PRODUCTION, reason: str = "", actor: str | None = None
    ) -> Change:
        """Point a channel at a release, after every file of it was checked.

        Promoting what the channel points at already changes nothing.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError: it must not be served.
            ChannelMovedError: somebody else moved the channel meanwhile.
        """
        pointer = self._pointer(channel)
        release = self.fit_to_serve(given)
        if pointer and pointer[0].release == release:
            return pointer[0]
        below = [*pointer[0].trail, pointer[0].release] if pointer else []
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
        if pointer is None:
            known = ", ".join(self.channels()) or "none"
            raise NothingToRollBackError(
                f"nothing was promoted to {channel} yet; channels: {known}"
            )
        path = pointer[0].trail[: rollback_place(pointer[0], to) + 1]
        self.fit_to_serve(path[-1])
        return self._move(channel, pointer, "rollback", path, reason, actor)

    def history(self, channel: str = PRODUCTION) -> list[Change]:
        """Every change of a channel, oldest first."""
        keys = self.store.list(f"history/{_checked_name(channel)}/")
        changes = {c.number: c for c in (parse(Change, key, self.store.read(key)) for key in keys)}
        if pointer := self.channel(channel):
            changes[pointer.number] = pointer
        return [changes[number] for number in sorted(changes)]

    def _pointer(self, channel: str) -> Pointer | None:
        key = _pointer_key(channel)
        found = self.store.read_versioned(key)
        return (parse(Change, key, found[0]), found[1]) if found else None

    def _move(
        self,
        channel: str,
        pointer: Pointer | None,
        action: Literal["promote", "rollback"],
        path: list[str],
        reason: str,
        actor: str | None,
    ) -> Change:
        """Swap the pointer; `path` is the new trail with the release to point at as its end."""
        self.store.probe()
        if pointer:
            self._copy_to_history(pointer[0])
        earlier = [change.number for change in self.history(channel)]
        change = Change(
            number=max(earlier, default=0) + 1,
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
            self.store.swap(_pointer_key(channel), pointer[1] if pointer else None, dump(change))
        except SwapLostError:
            now = self.channel(channel)
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


def _checked_name(channel: str) -> str:
    if not CHANNEL_NAME.fullmatch(channel):
        raise RegistryError(
            f"`{channel}` is no name of a channel: small letters, digits, _ and - make one"
        )
    return channel
