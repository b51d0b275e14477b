"""The family of a contest as it would be released: compressed, in the runtime that serves.

In the same workspace, after the rivals: `python -m benchmarks.experiments.released NAME`, the name
of a rival.
"""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.experiments.analysis import by_user
from benchmarks.experiments.comparison import Contest, contest, trained
from benchmarks.experiments.data_sets import lift, read, with_interval
from benchmarks.experiments.teachers import code, load, teacher_name
from benchmarks.experiments.train_variant import say
from benchmarks.experiments.variants import TRIES, way_of
from decant.compression.compress import compress_student
from decant.evaluation.evaluate import RELEASED
from decant.evaluation.scoring import OnnxScorer, rank
from decant.features.holdout import of_users
from decant.features.sequences import TEST, cases
from decant.models import bundle
from decant.models.build import save_model
from decant.models.cost import multiply_adds_of
from decant.models.export import export_onnx
from decant.params.types import TEACHER
from decant.report.results import Outcome, write_json
from decant.runtime.session import Model
from decant.training.checkpoint import digest

FOLDER = "released"


def result(of: Contest, name: str) -> Path:
    """Where a model's figures as released lie."""
    return of.folder / FOLDER / f"{name}.json"


def version(of: Contest, name: str) -> str:
    """Digest of what a model as released depends on."""
    settings, own = of.data.params.compress.model_dump(), code(of.data.root, "compress")
    trained_as = json.loads(of.result(name).read_text("utf-8"))["version"]
    return digest(
        [trained_as, settings, own, *load_file(of.folder / f"{name}.safetensors").values()]
    )


def write_released(of: Contest, name: str) -> None:
    """Compress a rival and rank test with it, unless that is done; the teacher is only exported."""
    path, current = result(of, name), version(of, name)
    if path.is_file() and read(path)["version"] == current:
        return
    folder = path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    served = export_teacher(of, folder) if name == TEACHER else compress(of, name, folder)
    data, members = of.data, of.members_of(name)
    chosen = cases(data.sequences, TEST, data.params.split.cases_per_user)
    if members is not None:
        chosen = of_users(chosen, members)
    scorer = OnnxScorer(
        Model(served / bundle.GRAPH), data.encoder.max_length, as_served=name != TEACHER
    )
    ranking = rank(
        scorer, data.sequences, chosen, len(data.encoder.items), k=data.params.evaluate.k,
        exclude_seen=data.encoder.exclude_seen,
    )  # fmt: skip
    write_json(
        path,
        {
            "version": current,
            "bytes": bundle.size_bytes(served),
            "multiply_adds": multiply_adds_of(served),
            "users": chosen.user.tolist(),
            "ranks": ranking.ranks.tolist(),
        },
    )


def export_teacher(of: Contest, folder: Path) -> Path:
    """Write the teacher's bundle."""
    teacher = load(of.data, teacher_name(of.seed))
    save_model(teacher, folder, of.data.encoder.items, {})
    export_onnx(teacher, folder / bundle.GRAPH)
    bundle.seal(folder)
    return folder


def compress(of: Contest, name: str, folder: Path) -> Path:
    """Write a student's bundles; the one that is served."""
    way = way_of(name)
    assert way is not None
    settings = way.settings(of.settings)
    torch.set_num_threads(settings.threads)
    compress_student(
        trained(of, name), of.members_of(name), of.material(way.labels), of.data.params.compress,
        settings, of.seed, folder, partial(say, name),
    )  # fmt: skip
    return folder / RELEASED


def add_released(outcome: Outcome, of: Contest, shipped: list[str]) -> None:
    """The family's general student and those that ship beside the teacher: quality and cost.

    Multiply-adds are those of the dearest student, bytes are those of all students together.
    """
    k, general = of.data.params.evaluate.k, of.family[0]
    found = {name: read(result(of, name)) for name in (TEACHER, general, *shipped)}
    teacher, served = by_user(found[TEACHER], k), by_user(found[general], k)
    for name in shipped:
        served.update(by_user(found[name], k))
    family = np.array([served[user] for user in teacher]).T
    students = [found[name] for name in (general, *shipped)]
    outcome.figures[f"released.ndcg@{k}"] = with_interval([family[0]])
    outcome.figures[f"released.hr@{k}"] = with_interval([family[1]])
    over = lift([family[0]], np.array([quality for quality, _ in teacher.values()]))
    low, high = over["low"], over["high"]
    assert low is not None and high is not None
    outcome.figures["released.retention"] = {
        "value": 1 + over["value"], "low": 1 + low, "high": 1 + high, "n": over["n"]
    }  # fmt: skip
    cost = {
        "multiply_adds": max(student["multiply_adds"] for student in students),
        "bytes": sum(student["bytes"] for student in students),
    }
    for measure, ours in cost.items():
        outcome.measured(f"released.{measure}.fewer", found[TEACHER][measure] / ours, len(students))


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--tries", type=int, default=len(TRIES))
    arguments = parser.parse_args()
    write_released(replace(contest(Path()), tries=arguments.tries), arguments.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
