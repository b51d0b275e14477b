"""Copies of releases in folders of this machine: made whole, put in place one at a time."""

import fcntl
import os
import shutil
from pathlib import Path

from decant.release.folder import ReleaseFolder
from decant.release.names import MANIFEST
from decant.release.records import Release
from decant.release.store import StoreError


def is_copy(release: Release, manifest: bytes, folder: Path) -> bool:
    """Does `folder` hold this release's files and manifest unchanged, and nothing else?"""
    copy = ReleaseFolder(folder, release.listing(), copied=True)
    try:
        return not copy.problems() and (folder / MANIFEST).read_bytes() == manifest
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False  # also if somebody replaces the folder meanwhile


def needs_room(release: Release, folder: Path) -> None:
    """Make sure that a release fits on the disk.

    Raises:
        StoreError: it does not.
    """
    needed, free = sum(f.bytes for f in release.files.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"release {release.id} takes {needed} bytes and {folder} has {free} left; make room"
        )


def put_in_place(release: Release, manifest: bytes, temporary: Path, destination: Path) -> None:
    """Give a complete copy its name; one at a time, as others may be fetching the same."""
    folder = os.open(destination.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if is_copy(release, manifest, destination):  # another was faster
            return
        if os.path.lexists(destination):
            damaged = temporary.with_suffix(".old")
            os.replace(destination, damaged)
            discard(damaged)
        os.rename(temporary, destination)
    finally:
        os.close(folder)  # releases the lock


def discard(path: Path) -> None:
    """Remove a folder, or whatever else stands there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
