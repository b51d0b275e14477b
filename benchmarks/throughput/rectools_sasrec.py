"""RecTools' SASRec on the same sequences, in a separate environment without shared libraries.

`python rectools_sasrec.py FOLDER PRECISION SECONDS` measures the speed, `… FOLDER PRECISION STEPS
--rank` trains that many steps and writes `top.npy`, the ten best items of every user, padded with
0. FOLDER holds `users.npy` and `items.npy` (events in order), `schedule.npy` (each step's learning
rate as a multiple of the peak) and `settings.json`. Prints one JSON document.
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
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from torch import nn

WARM_UP = 3  # batches that are not timed
K = 10
EPOCHS = 10_000  # more than are ever trained: steps or seconds end it
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class Clock(Callback):
    """Counts predictions without padding; ends training when its seconds are over, if any.

    The counts are class attributes, because the model copies its trainer.
    """

    events = timed_events = batches = 0
    began = timed_from = ended = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_start(self, trainer: Any, module: Any) -> None:
        Clock.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        predicted = int((batch["y"] != 0).sum())
        Clock.batches += 1
        Clock.events += predicted
        if Clock.batches == WARM_UP:
            Clock.timed_from = time.perf_counter()
        if Clock.batches > WARM_UP:
            Clock.timed_events += predicted
        Clock.ended = time.perf_counter()
        if Clock.ended - Clock.began >= self.seconds:
            trainer.should_stop = True


class SameOptimizer(TransformerLightningModule):
    """RecTools' training with the optimizer and the schedule of the other side."""

    settings: dict[str, Any]
    schedule: np.ndarray

    def configure_optimizers(self) -> Any:
        tables = {id(m.weight) for m in self.torch_model.modules() if isinstance(m, nn.Embedding)}
        parameters = list(self.torch_model.parameters())
        decayed = [p for p in parameters if p.ndim > 1 and id(p) not in tables]
        ids = {id(p) for p in decayed}
        groups = [
            {"params": decayed, "weight_decay": self.settings["weight_decay"]},
            {"params": [p for p in parameters if id(p) not in ids], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.lr, betas=tuple(self.settings["betas"]), fused=True
        )
        last = len(self.schedule) - 1
        planned = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: float(self.schedule[min(step, last)])
        )
        return {
            "optimizer": self.optimizer,
            "lr_scheduler": {"scheduler": planned, "interval": "step"},
        }

    def configure_gradient_clipping(self, *given: Any, **options: Any) -> None:
        nn.utils.clip_grad_norm_(self.torch_model.parameters(), self.settings["clip"])


def read_events(folder: Path) -> pd.DataFrame:
    """The training events as RecTools takes them; times only tell their order."""
    users, items = (np.load(folder / f"{name}.npy") for name in ("users", "items"))
    return pd.DataFrame(
        {
            Columns.User: users,
            Columns.Item: items,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(np.arange(len(users)), unit="s"),
        }
    )


def new_trainer(precision: str, *, seconds: float, steps: int) -> Trainer:
    """A silent trainer for so many seconds or steps; -1 steps: without a limit."""
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options: dict[str, Any] = dict.fromkeys(quiet, False)
    return Trainer(
        accelerator="cpu", max_epochs=EPOCHS, max_steps=steps,
        precision=PRECISIONS[precision], callbacks=[Clock(seconds)], **options,
    )  # fmt: skip


def rank(model: SASRecModel, dataset: Dataset, users: np.ndarray) -> np.ndarray:
    """The best items of every user that are not in their history, int [U, K], padded with 0."""
    recommended = model.recommend(np.unique(users), dataset, k=K, filter_viewed=True)
    top = np.zeros((users.max() + 1, K), np.int64)
    top[recommended[Columns.User], recommended[Columns.Rank] - 1] = recommended[Columns.Item]
    return top


def main() -> None:
    """Train and report the speed."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("precision", choices=PRECISIONS)
    parser.add_argument("amount", type=float, help="seconds to measure, or steps with --rank")
    parser.add_argument("--rank", action="store_true", help="train that many steps and rank")
    arguments = parser.parse_args()
    settings = json.loads((arguments.folder / "settings.json").read_text())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    SameOptimizer.settings = settings
    SameOptimizer.schedule = np.load(arguments.folder / "schedule.npy")
    limits: dict[str, Any] = {"seconds": arguments.amount, "steps": -1}
    if arguments.rank:
        limits = {"seconds": float("inf"), "steps": int(arguments.amount)}
    model = SASRecModel(
        **settings["model"],
        epochs=EPOCHS,
        lightning_module_type=SameOptimizer,
        get_trainer_func=lambda: new_trainer(arguments.precision, **limits),
    )
    events = read_events(arguments.folder)
    dataset = Dataset.construct(events)
    model.fit(dataset)
    if arguments.rank:
        top = rank(model, dataset, events[Columns.User].to_numpy())
        np.save(arguments.folder / "top.npy", top)
    counted = {"events": Clock.events, "steps": Clock.batches, "trained": Clock.ended - Clock.began}
    if not arguments.rank:
        counted |= {"events": Clock.timed_events, "steps": Clock.batches - WARM_UP}
    print(
        json.dumps(
            {
                **counted,
                "seconds": Clock.ended - Clock.timed_from,
                "parameters": sum(p.numel() for p in model.torch_model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
