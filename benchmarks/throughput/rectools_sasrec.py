"""RecTools' SASRec on the same sequences, in a separate environment without shared libraries.

`python rectools_sasrec.py FOLDER SECONDS [--rank]`: FOLDER holds `users.npy` and `items.npy`
(events in order) and `settings.json`. Prints one JSON document; `--rank` also writes `top.npy`, the
ten best items of every user, padded with 0.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

WARM_UP = 3  # batches that are not timed
K = 10


class Clock(Callback):
    """Counts predictions without padding, and ends training when time is up.

    The counts are class attributes, because the model copies its trainer.
    """

    events = batches = 0
    began = timed_from = ended = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_start(self, trainer: Any, module: Any) -> None:
        Clock.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        Clock.batches += 1
        if Clock.batches == WARM_UP:
            Clock.timed_from = time.perf_counter()
        if Clock.batches > WARM_UP:
            Clock.events += int((batch["y"] != 0).sum())
        Clock.ended = time.perf_counter()
        trainer.should_stop = Clock.ended - Clock.began >= self.seconds


def main() -> None:
    """Train and report the speed."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--rank", action="store_true")
    arguments = parser.parse_args()
    settings = json.loads((arguments.folder / "settings.json").read_text())
    torch.set_num_threads(settings.pop("threads"))
    torch.manual_seed(settings.pop("seed"))
    users, items = (np.load(arguments.folder / f"{n}.npy") for n in ("users", "items"))
    table = pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: items,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(np.arange(len(users)), unit="s"),
        }
    )

    def trainer() -> Trainer:
        quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        clock = Clock(arguments.seconds)
        options: dict[str, Any] = dict.fromkeys(quiet, False)
        return Trainer(accelerator="cpu", max_epochs=10_000, callbacks=[clock], **options)

    model = SASRecModel(**settings, epochs=10_000, get_trainer_func=trainer)
    dataset = Dataset.construct(table)
    model.fit(dataset)
    if arguments.rank:
        recommended = model.recommend(np.unique(users), dataset, k=K, filter_viewed=True)
        top = np.zeros((users.max() + 1, K), np.int64)
        top[recommended[Columns.User], recommended[Columns.Rank] - 1] = recommended[Columns.Item]
        np.save(arguments.folder / "top.npy", top)
    print(
        json.dumps(
            {
                "events": Clock.events,
                "seconds": Clock.ended - Clock.timed_from,
                "trained": Clock.ended - Clock.began,
                "batches": Clock.batches,
                "parameters": sum(p.numel() for p in model.torch_model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
