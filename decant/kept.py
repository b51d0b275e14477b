"""The files that runs keep for themselves under `.decant`: what to say when one cannot be used."""

import errno
import os
from pathlib import Path

FOLDER = Path(".decant")
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT)


class Unusable(ValueError):
    """A file or folder that a run needs cannot be used; `path` is the one to move away."""

    def __init__(self, path: Path, why: str, advice: str = "move it away") -> None:
        self.path, self.why, self.advice = path, why, advice
        super().__init__(f"{path} cannot be used ({why}): {advice}")


def unusable(path: Path, error: OSError) -> Unusable:
    """An error of the file system as one line: the path that is in the way, and what to do."""
    blocking = next((folder for folder in reversed(path.parents) if _no_folder(folder)), None)
    if blocking is not None:
        return Unusable(blocking, "a folder is needed there")
    if os.path.islink(path) and not os.path.exists(path):
        return Unusable(path, f"it is a link to {os.readlink(path)}, which is not there")
    if isinstance(error, FileExistsError | NotADirectoryError):
        return Unusable(path, "a folder is needed there")
    why = (error.strerror or type(error).__name__).lower()
    if error.errno in READ_ONLY:
        there = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
        return Unusable(there, why, "make it readable and writable for you, or move it away")
    if error.errno in FULL:
        return Unusable(path, why, "make room on the disk")
    return Unusable(path, why)


def _no_folder(path: Path) -> bool:
    return os.path.lexists(path) and not os.path.isdir(path)  # unlike Path's, they never raise
