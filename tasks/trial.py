"""Worker of a search, runs trials in turn: `python -m tasks.trial FOLDER`.

FOLDER is that of the search; its `job.json` holds the settings.
"""

import sys
from pathlib import Path
from typing import Any

from decant.distillation.knowledge import load_knowledge
from decant.files import read_json
from decant.models.build import load_model
from decant.params.load import parse_params
from decant.params.models import Training
from decant.params.types import TEACHER
from decant.training.supervision import Material
from decant.tuning.folds import make_folds
from decant.tuning.search import OnEpoch, RunTrial, work
from decant.tuning.space import Plan
from decant.tuning.study import JOB, cases_path
from decant.tuning.trial import TrialData, run_trial
from tasks.runner.artifacts import load_sequences, load_vectors, model_folder
from tasks.runner.step import Workspace


def main(folder: Path) -> None:
    """Run trials until none remains."""
    params = parse_params(read_json(folder / JOB))
    workspace = Workspace(Path.cwd(), params)
    work(Plan.from_params(params), folder, lambda: prepare(workspace, folder))


def prepare(workspace: Workspace, folder: Path) -> RunTrial:
    """Read the data once and return a function that runs a trial on it."""
    data = load_data(workspace)

    def run(number: int, settings: Training, on_epoch: OnEpoch) -> dict[str, Any]:
        return run_trial(data, settings, cases_path(folder, number), on_epoch)

    return run


def load_data(workspace: Workspace) -> TrialData:
    """The training data of the searched stage, in folds."""
    params = workspace.params
    encoder, sequences = load_sequences(workspace)
    distilled = params.tune.stage == "distill"
    material = Material(
        encoder=encoder,
        sequences=sequences,
        vectors=load_vectors(workspace),
        knowledge=load_knowledge(workspace.input("knowledge")) if distilled else None,
        cases_per_user=params.split.cases_per_user,
    )
    folds = make_folds(sequences, params.split, params.tune.folds)
    teacher = load_model(model_folder(workspace, TEACHER)) if distilled else None
    return TrialData(material, folds, params.seed, teacher)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
