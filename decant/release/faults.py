"""Errors of the file system as one line, with advice."""

import errno
import os
from pathlib import Path

FAULTS = (
    ("make room on the disk", (errno.ENOSPC,)),
    ("the quota is used up: make room or raise it", (errno.EDQUOT,)),
    (
        "the folder is read-only: mount it writable, or name another one as registry.folder in "
        "params.yaml",
        (errno.EROFS,),
    ),
    ("give this account the right to read and write there", (errno.EACCES, errno.EPERM)),
    (
        "the network folder is not there at the moment: mount it anew",
        (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    ),
    ("the disk fails: check it, then restore the file", (errno.EIO, errno.ENXIO, errno.ENODEV)),
    (
        "the file system has no locks: mount it with locks, or keep the registry in a bucket",
        (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS),
    ),
    ("a symbolic link leads back to itself: remove it", (errno.ELOOP,)),
    ("keep the whole registry on one file system", (errno.EXDEV,)),
    ("move the registry to a folder with a shorter path", (errno.ENAMETOOLONG,)),
    ("the file system does not take files of this size", (errno.EFBIG,)),
    ("raise this process's limit of open files", (errno.EMFILE, errno.ENFILE)),
)
ADVICE = {number: advice for advice, numbers in FAULTS for number in numbers}
PROCESS_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # not the file's fault


def describe(error: OSError, named: Path | None = None) -> str:
    """Reason, path (unless it is `named` already) and advice."""
    path = error.filename2 or error.filename
    where = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else None
    reason = error.strerror or str(error)
    place = f" ({where})" if where and where != str(named) else ""
    advice = ADVICE.get(error.errno or 0)
    return f"{reason}{place}" + (f"; {advice}" if advice else "")


def find_obstacle(path: Path, root: Path) -> Path | None:
    """First file or link to nothing from `path` up to `root`, None if there is neither."""
    for place in [path, *path.parents]:
        if place.is_file() or (place.is_symlink() and not place.exists()):
            return place
        if place == root:
            break
    return None


def describe_obstacle(place: Path) -> str:
    """An obstacle in words."""
    what = "a file" if place.exists() else "a symbolic link to nothing (is a disk not mounted?)"
    return f"{place}: {what} is in the way of the registry's folder"


def fingerprint(path: Path) -> str:
    """Version of an unreadable file: another file in its place has another one."""
    try:
        status = path.lstat()
    except OSError:
        return "unread"
    return f"unread {status.st_ino} {status.st_mtime_ns} {status.st_size}"
