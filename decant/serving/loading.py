"""From a channel of the registry to a family in memory, and the one that is being served."""

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from decant.params import load_params
from decant.release.records import Change, RegistryError
from decant.release.registry import CHANNEL_NAME, Registry, open_registry
from decant.release.store import LocalStore
from decant.serving.engine import Family

CACHE = Path(".decant") / "serving"
KEPT = 4  # releases that stay in the cache
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a refused release is tried again

logger = logging.getLogger(__name__)


class NothingToServeError(ValueError):
    """The channel points at nothing."""

    def __init__(self, channel: str, channels: list[str]) -> None:
        self.channel = channel
        others = f"; channels: {', '.join(channels)}" if channels else ""
        super().__init__(
            f"no release was promoted to {channel} yet: `make run` makes one, `decant promote ID` "
            f"puts it there{others}"
        )


@dataclass(frozen=True)
class Source:
    """Where families come from: a channel of a registry, and a folder for what is fetched."""

    registry: Registry
    channel: str
    cache: Path

    def pointer(self) -> Change:
        """Where the channel points.

        Raises:
            NothingToServeError: nowhere. RegistryError, StoreError, OSError: it cannot be read.
        """
        change = self.registry.channel(self.channel)
        if change is None:
            raise NothingToServeError(self.channel, self.registry.channels())
        return change

    def load(self, release: str) -> Family:
        """A release in memory, every file checked, every student warm.

        Raises:
            UnknownReleaseError, DamagedReleaseError, BundleError, EncoderError, RuleError:
                the release must not be served.
        """
        family = Family(self._folder(release), release)
        family.warm_up()
        return family

    def _folder(self, release: str) -> Path:
        store = self.registry.store
        files = self.registry.release(release).files
        if isinstance(store, LocalStore) and not any(file.stored for file in files.values()):
            self.registry.verify(release)
            return store.folder / "releases" / release
        folder = self.registry.fetch(release, self.cache / release)
        os.utime(folder)
        forget_old(self.cache, KEPT)
        return folder


@dataclass(frozen=True)
class Served:
    """A family in memory, and the move of the channel that put it there."""

    family: Family
    change: Change


@dataclass(frozen=True)
class Refusal:
    """A move of the channel that could not be followed, and when to try again."""

    change: str
    pause: float
    until: float


class Current:
    """What answers now; `refresh` follows the channel.

    A request takes `served` once and keeps it to its end, so a swap disturbs nobody.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self.source, self.clock = source, clock
        self.served: Served | None = None
        self.problem: str | None = "no release is loaded yet"
        self._refusal: Refusal | None = None

    def refresh(self) -> bool:
        """Look where the channel points and serve that; what cannot be served is reported.

        Returns:
            Whether another release answers from now on.
        """
        try:
            return self._follow(self.source.pointer())
        except (ValueError, OSError) as error:
            self._report(str(error))
        except Exception as error:  # whatever it is, the release in memory goes on answering
            self._report(f"{type(error).__name__}: {error}", unexpected=True)
        return False

    def _follow(self, change: Change) -> bool:
        if self.served and self.served.change.release == change.release:
            self.served = Served(self.served.family, change)
            self.problem = self._refusal = None
            return False
        refusal = self._refusal
        if refusal and refusal.change == change.change and self.clock() < refusal.until:
            return False
        try:
            family = self.source.load(change.release)
        except Exception:
            self._refuse(change)
            raise
        self.served, self.problem, self._refusal = Served(family, change), None, None
        logger.info("serving release %s (%s)", change.release, change.channel)
        return True

    def _refuse(self, change: Change) -> None:
        old = self._refusal
        again = old is not None and old.change == change.change
        pause = min(2 * old.pause, LONGEST_PAUSE) if old and again else FIRST_PAUSE
        self._refusal = Refusal(change.change, pause, self.clock() + pause)

    def _report(self, problem: str, unexpected: bool = False) -> None:
        """Say it once; /healthz keeps saying it."""
        problem = " ".join(problem.split())
        if problem != self.problem:
            stays = f"; release {self.served.family.release} stays" if self.served else ""
            logger.warning("%s%s", problem, stays, exc_info=unexpected)
        self.problem = problem


def open_source(root: Path, channel: str) -> Source:
    """The registry that `root`/params.yaml names, and one of its channels.

    Raises:
        ParamsError, RegistryError, StoreError: settings or name are wrong.
    """
    if not CHANNEL_NAME.fullmatch(channel):
        raise RegistryError(f"`{channel}` is no name of a channel, such as production")
    settings = load_params(root / "params.yaml").registry
    return Source(open_registry(settings, root), channel, root / CACHE)


def forget_old(cache: Path, kept: int) -> None:
    """Remove the releases that were used longest ago; a family in memory needs no files."""
    found = []
    for folder in cache.iterdir():
        with suppress(FileNotFoundError):  # another service was faster
            found.append((folder.stat().st_mtime, folder))
    for _, folder in sorted(found, reverse=True)[kept:]:
        shutil.rmtree(folder, ignore_errors=True)
