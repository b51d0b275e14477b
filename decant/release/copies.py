"""Local copies of releases."""

import fcntl
import os
import shutil
from pathlib import Path

from decant.release.folder import ReleaseFolder
from decant.release.names import MANIFEST
from decant.release.records import Release
from decant.release.store import StoreError


def is_copy(release: Release, manifest: bytes, folder: Path) -> bool:
    """Whether `folder` holds exactly this release's files and manifest, unchanged."""
    copy = ReleaseFolder(folder, release.listing(), copied=True)
    try:
        return not copy.problems() and (folder / MANIFEST).read_bytes() == manifest
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False  # or the folder is being replaced


def needs_room(release: Release, folder: Path) -> None:
    """Check that a release fits on the disk.

    Raises:
        StoreError: the free space is too small.
    """
    needed, free = sum(f.bytes for f in release.files.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"release {release.id} has {needed} bytes, {folder} has {free} free: make room"
        )


def put_in_place(release: Release, manifest: bytes, temporary: Path, destination: Path) -> None:
    """Rename a complete copy to its final name, under a lock against concurrent fetches."""
    folder = os.open(destination.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if is_copy(release, manifest, destination):  # a concurrent fetch was faster
            return
        if os.path.lexists(destination):
            damaged = temporary.with_suffix(".old")
            os.replace(destination, damaged)
            discard(damaged)
        os.rename(temporary, destination)
    finally:
        os.close(folder)  # releases the lock


def discard(path: Path) -> None:
    """Remove a folder, file or link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
