"""Make trials of a search, one after another: `python -m tasks.trial`, started by a search.

The job is the settings of the run and where the quality of each case is written; an order is a
number and a block of settings.
"""

from pathlib import Path
from typing import Any

from decant.distillation.knowledge import load_knowledge
from decant.models.build import load_model
from decant.params.load import parse_params
from decant.params.types import TEACHER
from decant.training.supervision import Material
from decant.tuning.folds import make_folds
from decant.tuning.outcome import cases_of
from decant.tuning.trial import Course, run_trial
from decant.tuning.workers import Evaluate, Report, answer
from tasks.runner.artifacts import load_sequences, load_vectors, model_folder
from tasks.runner.step import Workspace


def prepare(job: dict[str, Any]) -> Evaluate:
    """Read what the stage reads; returns what makes a trial."""
    workspace = Workspace(Path.cwd(), parse_params(job["params"]))
    course = read_course(workspace)
    kind = type(getattr(workspace.params, workspace.params.tune.stage))

    def evaluate(order: dict[str, Any], report: Report) -> dict[str, Any]:
        settings = kind.model_validate(order["settings"])
        cases = cases_of(Path(job["folder"]), order["number"])
        return run_trial(course, settings, cases, report)

    return evaluate


def read_course(workspace: Workspace) -> Course:
    """The material of the stage that is searched, in folds."""
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
    return Course(material, folds, params.seed, teacher)


if __name__ == "__main__":
    answer(prepare)
