"""Train one teacher of a prepared data set and rank its cases: what `decant bench` starts.

Run in a workspace whose features are made: `python -m decant.bench.teach SEED [--minutes N]`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from decant.bench.results import write_json
from decant.evaluation.evaluate import WINDOWS
from decant.evaluation.metrics import top_items
from decant.evaluation.scoring import rank
from decant.features.encode import Encoder
from decant.features.sequences import Sequences, cases
from decant.features.validation import picks
from decant.models.build import architecture
from decant.models.checkpoint import parameter_count
from decant.params import Params, load_params
from decant.training.batches import training_windows
from decant.training.checkpoints import Checkpoints, TimeUp, digest
from decant.training.lesson import Lesson
from decant.training.loop import seeded, train
from decant.training.validation import TorchScorer

NOT_DONE = 3  # exit status: time is up, the same command goes on
DEPTH = 100  # items of each ranking that are kept: what an ensemble is made of


def teach(root: Path, seed: int, minutes: float | None) -> None:
    """Train the teacher of params.yaml with another seed, write `teacher-SEED.{json,npz}`.

    The arrays hold for each window the rank of every case's target, and its best items with
    their log-probabilities.

    Raises:
        TimeUp: `minutes` have passed; what was learned is kept for the next call.
    """
    params = load_params(root / "params.yaml")
    features = root / "data" / "features"
    encoder = Encoder.load(features / "encoder.json")
    sequences = Sequences.load(features / "sequences")
    vectors = np.load(root / "data" / "vectors" / "items.npy", allow_pickle=False)
    folder = root / ".decant" / "teachers"
    version = digest([code(root), params.teacher.model_dump(), np.asarray(sequences.items)])
    text = vectors if vectors.shape[1] else None
    shape = architecture(params.teacher, encoder, vectors.shape[1])
    model = seeded(shape, text, seed)
    windows = training_windows(sequences, shape.max_length)
    chosen = picks(sequences, params.split.cases_per_user)
    report = train(
        model,
        sequences,
        Lesson(lambda rng: windows, chosen, encoder.exclude_seen),
        params.teacher,
        epochs=params.teacher.epochs,
        learning_rate=params.teacher.learning_rate,
        seed=seed,
        log=tqdm.write,
        checkpoints=Checkpoints(folder / str(seed), version, minutes),
    )
    arrays = rankings(TorchScorer(model.cpu()), sequences, encoder, params)
    np.savez_compressed(folder / f"teacher-{seed}.npz", **arrays)  # type: ignore[arg-type]
    found = {
        "version": version,
        "seed": seed,
        "parameters": parameter_count(model),
        "epochs": len(report.losses),
        "best_epoch": report.best_epoch + 1,
        "picks_ndcg": report.ndcg,
        "losses": report.losses,
        "events": report.events,
        "seconds": round(report.seconds, 1),
        "events_per_s": round(report.events / max(report.seconds, 1e-9), 1),
        "device": str(torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"),
    }
    write_json(folder / f"teacher-{seed}.json", found)


def rankings(
    scorer: TorchScorer, sequences: Sequences, encoder: Encoder, params: Params
) -> dict[str, np.ndarray]:
    """Of each window: `<window>_ranks` int [C] of the targets."""
    arrays = {}
    for window in WINDOWS:
        chosen = cases(sequences, window, params.split.cases_per_user)
        found = rank(
            scorer, sequences, chosen, len(encoder.items), k=params.evaluate.k,
            exclude_seen=encoder.exclude_seen,
        )  # fmt: skip
        arrays |= {f"{window}_ranks": found.ranks, f"{window}_users": chosen.user}
    return arrays


def code(root: Path) -> str:
    """Digest of the code that trains a teacher."""
    return (root / "data" / "fingerprints" / "teacher.txt").read_text("utf-8").strip()


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    try:
        teach(Path(), arguments.seed, arguments.minutes)
    except TimeUp as stopped:
        print(stopped, file=sys.stderr)
        return NOT_DONE
    return 0


if __name__ == "__main__":
    sys.exit(main())
