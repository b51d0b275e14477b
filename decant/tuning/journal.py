"""The journal that holds all state of a search, on disk."""

from pathlib import Path

import optuna
from optuna.pruners import MedianPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from decant.files import Unusable, unusable

JOURNAL = "journal.log"
ANEW = "move it away, then the search starts anew"
SPARED = 2  # epochs of a trial before it may be stopped: the first says little


def open_study(folder: Path) -> optuna.Study:
    """The study whose journal is in `folder`, a new one if there is none.

    Nobody else may have it open: what a killed search has left of a lock is removed.

    Raises:
        Unusable: the folder or the journal, which may hold hours of work and is not replaced.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / JOURNAL
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if journal.exists():
            cut_torn_line(journal)
        for left in folder.glob(f"{JOURNAL}.*"):
            left.unlink()
        return _read(journal)
    except OSError as error:
        raise unusable(Path(error.filename or journal), error) from None


def _read(journal: Path) -> optuna.Study:
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return optuna.create_study(
            storage=storage,
            study_name="search",
            direction="maximize",
            pruner=MedianPruner(n_warmup_steps=SPARED),
            load_if_exists=True,
        )
    except (ValueError, KeyError, TypeError, AssertionError) as error:  # by the line it is at
        why = f"a line in it is damaged, or of another version: {type(error).__name__}"
        raise Unusable(journal, why, ANEW) from None


def cut_torn_line(journal: Path) -> None:
    """Remove a last line that a kill or a full disk has left half written.

    Raises:
        Unusable: it is no beginning of a line.
    """
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        if not content[whole:].startswith(b"{"):
            raise Unusable(journal, "its last line is damaged", ANEW)
        with journal.open("r+b") as file:
            file.truncate(whole)
