"""Errors of the file system as one line, with advice."""

import errno
import os
from pathlib import Path

FAULTS = (
    ("make room on the disk", (errno.ENOSPC,)),
    ("the quota is exhausted: make room or raise it", (errno.EDQUOT,)),
    (
        "the folder is read-only: mount it writable, or set another registry.folder in params.yaml",
        (errno.EROFS,),
    ),
    ("grant this account read and write permission there", (errno.EACCES, errno.EPERM)),
    (
        "the network folder is unavailable: mount it again",
        (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    ),
    (
        "the disk is failing: check it, then restore the file",
        (errno.EIO, errno.ENXIO, errno.ENODEV),
    ),
    (
        "the file system has no locks: mount it with locks, or keep the registry in a bucket",
        (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),
    ),
    ("a symbolic link forms a cycle: remove it", (errno.ELOOP,)),
    ("keep the whole registry on one file system", (errno.EXDEV,)),
    ("move the registry to a folder with a shorter path", (errno.ENAMETOOLONG,)),
    ("the file system does not support files of this size", (errno.EFBIG,)),
    ("raise this process's limit of open files", (errno.EMFILE, errno.ENFILE)),
)
ADVICE = {number: advice for advice, numbers in FAULTS for number in numbers}
PROCESS_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # not the file's fault


def describe(error: OSError, named: Path | None = None) -> str:
    """Reason, path (unless equal to `named`) and advice."""
    path = error.filename2 or error.filename
    where = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None
    reason = error.strerror or str(error)
    place = f" ({where})" if where and where != str(named) else ""
    advice = ADVICE.get(error.errno or 0)
    return f"{reason}{place}" + (f"; {advice}" if advice else "")


def find_obstacle(path: Path, root: Path) -> Path | None:
    """First file or broken link from `path` up to `root`, None if there is neither."""
    for place in [path, *path.parents]:
        if place.is_file() or (place.is_symlink() and not place.exists()):
            return place
        if place == root:
            break
    return None


def describe_obstacle(place: Path) -> str:
    """A description of an obstacle."""
    what = "a file" if place.exists() else "a broken symbolic link (is a disk not mounted?)"
    return f"{place}: {what} is in the way of the registry's folder"


def fingerprint(path: Path) -> str:
    """Version of an unreadable file, which changes if the file is replaced."""
    try:
        status = path.lstat()
    except OSError:
        return "unread"
    return f"unread {status.st_ino} {status.st_mtime_ns} {status.st_size}"
