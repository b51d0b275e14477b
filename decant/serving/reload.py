"""Loading of a channel's release into memory, and hot reload of the served release."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from decant.files import ContentError
from decant.params.load import load_params
from decant.params.release import Serve
from decant.release.copies import discard
from decant.release.folder import ReleaseFolder, read_bounded
from decant.release.identity import is_id
from decant.release.manifest import LARGEST_MANIFEST, read_manifest
from decant.release.names import MANIFEST
from decant.release.records import (
    Change,
    DamagedReleaseError,
    GateFailedError,
    RegistryError,
    Release,
)
from decant.release.registry import CHANNEL_NAME, Registry, open_registry
from decant.release.store import STALE, LocalStore
from decant.runtime.engine import Family
from decant.serving.last_served import LastServed
from decant.serving.preload import NotLoadedError, Preload

CACHE = Path(".decant") / "serving"
KEPT = 4  # releases kept in the cache
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before a refused release is retried
PAUSE_PER_TRY = 9.0  # seconds at least, per second that the last attempt took
logger = logging.getLogger(__name__)


class NothingToServeError(ValueError):
    """The channel has no release."""

    def __init__(self, channel: str, channels: list[str]) -> None:
        self.channel = channel
        others = f"; channels: {', '.join(channels)}" if channels else ""
        super().__init__(
            f"no release was promoted to {channel} yet: `make run` creates one, "
            f"`decant promote ID` promotes it{others}"
        )


def default_preload() -> Preload:
    """A `Preload` with the default limits of the settings."""
    return Preload(Serve().load_seconds, Serve().load_memory_mb)


@dataclass(frozen=True)
class Source:
    """Source of releases: a channel of a registry, and a cache folder for fetched copies."""

    registry: Registry
    channel: str
    cache: Path
    preload: Preload = field(default_factory=default_preload)

    def pointer(self) -> Change:
        """The channel's last change.

        Raises:
            NothingToServeError: there is none. RegistryError, StoreError, OSError: unreadable.
        """
        change = self.registry.channel(self.channel)
        if change is None:
            raise NothingToServeError(self.channel, self.registry.channels())
        return change

    def in_history(self) -> Change | None:
        """The channel's last change by its history, if its pointer is damaged or missing.

        None if the registry cannot be read, which is reported elsewhere.
        """
        with suppress(ValueError, OSError):
            pointer = self.registry.pointer(self.channel)
            return pointer.change if pointer.problem else None
        return None

    @property
    def last(self) -> LastServed:
        """The note of the release that the channel last served on this machine."""
        return LastServed(self.cache, self.channel)

    def load(self, release: str) -> Family:
        """Load a release, verify all its files and warm up all students.

        Raises:
            UnknownReleaseError, DamagedReleaseError, GateFailedError, NotLoadedError, StoreError:
                the release must not or cannot be served.
        """
        return self._load(*self._locate(release))

    def load_kept(self, release: str) -> Family:
        """Load a release from its copy in the cache if possible, without the registry.

        Raises:
            As `load` does. OSError: the copy has no manifest.
        """
        folder = self.cache / release
        if not folder.is_dir():
            return self.load(release)
        manifest = read_manifest(release, read_bounded(folder / MANIFEST, LARGEST_MANIFEST))
        return self._load(manifest, ReleaseFolder(folder, manifest.listing(), copied=True))

    def _locate(self, given: str) -> tuple[Release, ReleaseFolder]:
        """A release and its local folder; fetches it if necessary."""
        store, release = self.registry.store, self.registry.release(given)
        if isinstance(store, LocalStore):
            return release, ReleaseFolder(store.folder / "releases" / release.id, release.listing())
        folder = self.registry.fetch(release.id, self.cache / release.id)
        with suppress(OSError, ValueError):  # a cache that cannot be cleaned up is still usable
            os.utime(folder)
            note = self.last.read()
            forget_old(self.cache, KEPT, {release.id, note.release if note else release.id})
        return release, ReleaseFolder(folder, release.listing(), copied=True)

    def _load(self, release: Release, folder: ReleaseFolder) -> Family:
        if not release.passed:
            raise GateFailedError(f"release {release.id}", release.reasons)
        self.preload.check(release, folder)
        try:
            family = Family(folder.read, release.id, tried=True)
        except ContentError as error:  # changed since the check
            raise DamagedReleaseError(release.id, [str(error)]) from None
        family.warm_up()
        return family


@dataclass(frozen=True)
class Served:
    """A family in memory, and the channel's change that selected it."""

    family: Family
    change: Change


@dataclass(frozen=True)
class Loading:
    """A release being loaded, and the start time."""

    release: str
    since: datetime


class Pause:
    """Back-off after failures: doubled each time up to a minute, and at least nine times the
    duration of the failed attempt."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._seconds, self._until = 0.0, clock()

    @property
    def over(self) -> bool:
        """Whether the next attempt may begin."""
        return self.clock() >= self._until

    def begin(self, took: float) -> None:
        """Start after a failed attempt of `took` seconds."""
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE) or FIRST_PAUSE
        self._until = self.clock() + max(self._seconds, PAUSE_PER_TRY * took)


class Current:
    """The release being served; `refresh` follows the channel.

    A request reads `served` once and keeps it to its end, so that a swap does not disturb it.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self.source, self.clock = source, clock
        self.served: Served | None = None
        self.loading: Loading | None = None
        self.problem: str | None = "no release is loaded yet"
        self._reported: str | None = None
        self._refused: tuple[str, Pause] | None = None  # id of the channel's refused change
        self._before_last = Pause(clock)

    def refresh(self) -> bool:
        """Check the channel and serve its release; report a release that cannot be served.

        While nothing is served yet, fall back to a release known without the pointer.

        Returns:
            Whether a different release is served now.
        """
        refused = None
        try:
            return self._follow(self.source.pointer())
        except (ValueError, OSError) as error:
            refused = error.release if isinstance(error, NotLoadedError) else None
            self._report(str(error))
        except Exception as error:  # keep serving the release in memory in any case
            self._report(f"{type(error).__name__}: {error}", unexpected=True)
        return self.served is None and self._before_last.over and self._serve_last(refused)

    def end(self) -> None:
        """Stop loading for good."""
        self.source.preload.end()

    def _follow(self, change: Change) -> bool:
        if self.served and self.served.change.release == change.release:
            if self.served.change != change:
                self._serve(Served(self.served.family, change))
            self._fine()
            return False
        refused, pause = self._refused or ("", Pause(self.clock))
        if refused != change.change:
            pause = Pause(self.clock)
        if not pause.over:
            return False
        self._refused = (change.change, pause)
        with self._attempt(change.release, pause):
            family = self.source.load(change.release)
        self._fine()
        self._serve(Served(family, change))
        logger.info("serving release %s (%s)", change.release, change.channel)
        return True

    def _serve_last(self, refused: str | None) -> bool:
        """Serve the last release in the channel's history, else the one last served here.

        Args:
            refused: the release that has just failed to load.
        """
        channel = self.source.channel
        by_history = self._serve_instead(
            self.source.in_history, refused, f"the last release in the history of {channel}"
        )
        return by_history or self._serve_instead(
            self.source.last.read, refused, f"the release last served here for {channel}"
        )

    def _serve_instead(
        self, find: Callable[[], Change | None], refused: str | None, what: str
    ) -> bool:
        """Serve a release known without the pointer, if it is intact."""
        try:
            change = find()
            if change is None or change.release == refused:
                return False
            with self._attempt(change.release, self._before_last):
                family = self.source.load_kept(change.release)
        except Exception as error:  # a damaged note or cache must not stop the service
            line = " ".join(str(error).split()) or type(error).__name__
            self._add(f"{what} cannot be served either: {line}")
            return False
        self.served = Served(family, change)
        self._add(f"serving {what}: {change.release}")
        return True

    @contextmanager
    def _attempt(self, release: str, pause: Pause) -> Iterator[None]:
        """Show the release in `loading`; begin a pause if it fails."""
        began = self.clock()
        self.loading = Loading(release, datetime.now(UTC))
        try:
            yield
        except Exception:
            pause.begin(self.clock() - began)
            raise
        finally:
            self.loading = None

    def _serve(self, served: Served) -> None:
        self.served = served
        try:
            self.source.last.write(served.change)
        except OSError as error:
            logger.warning(
                "release %s is served, but could not be noted as the last one: %s",
                served.change.release,
                error,
            )

    def _report(self, problem: str, unexpected: bool = False) -> None:
        """Log a problem once; /healthz keeps reporting it."""
        problem = " ".join(problem.split())
        if problem == self._reported:
            return
        stays = f"; still serving {self.served.family.release}" if self.served else ""
        logger.warning("%s%s", problem, stays, exc_info=unexpected)
        self._reported = self.problem = problem

    def _add(self, consequence: str) -> None:
        """Add a consequence to the reported problem."""
        problem = f"{self._reported}; {consequence}"
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem

    def _fine(self) -> None:
        """Clear problems, since the channel's release is served."""
        self.problem = self._reported = self._refused = None


def open_source(root: Path, channel: str) -> Source:
    """Open a channel of the registry that `root`/params.yaml configures.

    Raises:
        ParamsError, RegistryError, StoreError: invalid settings or name.
    """
    if not CHANNEL_NAME.fullmatch(channel):
        raise RegistryError(
            f"invalid channel name `{channel}`: use lowercase letters, digits, `_` and `-`"
        )
    params = load_params(root / "params.yaml")
    preload = Preload(params.serve.load_seconds, params.serve.load_memory_mb)
    return Source(open_registry(params.registry, root), channel, root / CACHE, preload)


def forget_old(cache: Path, kept: int, needed: Collection[str] = ()) -> None:
    """Remove the least recently used releases; a family in memory needs no files.

    Keeps those in `needed`. Removes partial copies of killed services after a day.
    """
    folders, now = [], time.time()
    for path in cache.iterdir():
        with suppress(FileNotFoundError):  # removed by another service
            age = now - path.lstat().st_mtime
            if path.name.startswith("."):
                if age > STALE:
                    discard(path)
            elif is_id(path.name) and path.name not in needed:
                folders.append((age, path))
    for _, folder in sorted(folders)[max(0, kept - len(needed)) :]:
        shutil.rmtree(folder, ignore_errors=True)
