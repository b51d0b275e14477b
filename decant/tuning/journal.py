"""The journal that holds all state of a search, on disk."""

from pathlib import Path

import optuna
from optuna.pruners import MedianPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

JOURNAL = "journal.log"
SPARED = 2  # epochs of a trial before it may be stopped: the first says little


def open_study(folder: Path) -> optuna.Study:
    """The study whose journal is in `folder`, a new one if there is none.

    Nobody else may have it open: what a killed search has left of a lock is removed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / JOURNAL
    if journal.exists():
        cut_torn_line(journal)
    for left in folder.glob(f"{JOURNAL}.*"):
        left.unlink()
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize",
        pruner=MedianPruner(n_warmup_steps=SPARED),
        load_if_exists=True,
    )


def cut_torn_line(journal: Path) -> None:
    """Remove a last line that a kill or a full disk has left half written."""
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)
