"""A note of the release a channel last served here, for a restart without a registry."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from decant.release.folder import read_bounded
from decant.release.identity import is_id
from decant.release.records import Change, RegistryError, dump, parse
from decant.release.store import sync_folder

LARGEST = 1_000_000  # bytes of a note


@dataclass(frozen=True)
class LastServed:
    """The note of one channel: its last served change."""

    folder: Path
    channel: str

    def read(self) -> Change | None:
        """Read the note; None if there is none.

        Raises:
            RegistryError, ContentError: the note is damaged. OSError: it cannot be read.
        """
        try:
            content = read_bounded(self._path, LARGEST)
        except FileNotFoundError:
            return None
        change = parse(Change, str(self._path), content)
        if change.channel != self.channel or not is_id(change.release):
            raise RegistryError(f"{self._path} is damaged: it is not a note of {self.channel}")
        return change

    def write(self, change: Change) -> None:
        """Write the note atomically.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            with temporary.open("xb") as file:
                file.write(dump(change))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.folder)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.channel}.json"
