"""Outputs of stages, read from DVC's cache by the md5 in a dvc.lock.

The cache is read without DVC: its layout is `files/md5/<two digits>/<the rest>`, and a folder is a
JSON list of its files.
"""

import configparser
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))  # the later one takes precedence
FOLDER_SUFFIX = ".dir"


class NotCachedError(ValueError):
    """The output of a stage at `place` is missing from DVC's cache, or damaged there."""

    def __init__(self, place: str, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place} {problem}")


@dataclass(frozen=True)
class Outputs:
    """The outputs of stages: path → md5, and the cache with their content."""

    cache: Path
    hashes: Mapping[str, str]
    _listings: dict[str, dict[str, str]] = field(default_factory=dict)

    def md5(self, place: str) -> str | None:
        """The md5 of an output, or of a file in one; None if no stage has this output.

        Raises:
            NotCachedError: the folder's file list is not in the cache.
        """
        for output, md5 in self.hashes.items():
            if place == output:
                return md5
            if place.startswith(f"{output}/") and md5.endswith(FOLDER_SUFFIX):
                return self._listing(output, md5).get(place.removeprefix(f"{output}/"))
        return None

    def read(self, place: str) -> bytes:
        """The content of a file.

        Raises:
            NotCachedError: no stage has this output, or it is missing or damaged in the cache.
        """
        md5 = self.md5(place)
        if md5 is None:
            raise NotCachedError(place, "is not an output of any stage in this dvc.lock")
        return self._content(place, md5)

    def _listing(self, output: str, md5: str) -> dict[str, str]:
        if md5 not in self._listings:
            content = self._content(output, md5)
            try:
                entries = json.loads(content)
                self._listings[md5] = {entry["relpath"]: entry["md5"] for entry in entries}
            except (ValueError, TypeError, KeyError):
                raise NotCachedError(output, "is damaged in DVC's cache") from None
        return self._listings[md5]

    def _content(self, place: str, md5: str) -> bytes:
        path = self.cache / "files" / "md5" / md5[:2] / md5[2:]
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise NotCachedError(place, "is not in DVC's cache") from None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(
            FOLDER_SUFFIX
        ):
            raise NotCachedError(place, "is damaged in DVC's cache")
        return content


def cache_folder(root: Path) -> Path:
    """The folder of DVC's cache: `cache.dir` of its configuration, else `.dvc/cache`."""
    folder = root / ".dvc" / "cache"
    for name in CONFIGS:
        config = read_config(root / name)
        if config.has_option("cache", "dir"):
            folder = root / ".dvc" / config.get("cache", "dir")
    return folder


def default_remote(root: Path) -> str | None:
    """The name of DVC's default remote, None if unset."""
    names = [read_config(root / name).get("core", "remote", fallback=None) for name in CONFIGS]
    return next((name for name in reversed(names) if name), None)


def read_config(path: Path) -> configparser.ConfigParser:
    """A DVC configuration file, empty if it cannot be read."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return configparser.ConfigParser()
    return config
