"""Shrink segments' students towards the students they started from, as far as validation says."""

from dataclasses import asdict

from decant.distillation.shrinkage import shrink_students
from decant.files import write_json
from decant.models import bundle
from decant.models.build import load_model, save_model
from decant.models.export import export_onnx
from decant.training.supervision import Material
from tasks.runner.artifacts import (
    SHRUNK_MODEL,
    SHRUNK_WEIGHT,
    is_folded,
    load_members,
    load_sequences,
    model_folder,
)
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the students, write the shrunk ones and every student's weight."""
    students, shrunk_ones = workspace.params.students, workspace.params.shrunk
    starts = {n: start for n, start in shrunk_ones.items() if not is_folded(workspace, n)}
    output = workspace.output("shrunk")
    encoder, sequences = load_sequences(workspace)
    shrunk, choices = shrink_students(
        {n: load_model(model_folder(workspace, n)) for n in {*starts, *starts.values()}},
        starts,
        Material(encoder, sequences, {}, None, workspace.params.split.cases_per_user),
        {name: load_members(workspace, name) for name in starts},
    )
    for name in students:
        folder = output / name
        folder.mkdir()
        choice = choices.get(name)
        write_json(folder / SHRUNK_WEIGHT, {"weight": 1.0} if choice is None else asdict(choice))
        if choice is not None:
            model, place = shrunk[name], folder / SHRUNK_MODEL
            save_model(model, place, encoder.items, asdict(choice))
            export_onnx(model, place / bundle.GRAPH, encoder.max_length)
            bundle.seal(place)
    return {"students": {name: asdict(choice) for name, choice in choices.items()}}


def describe(summary: Summary) -> str:
    if not summary["students"]:
        return "nothing is shrunk: `distill.shrink` is false for all groups"
    rows = "\n".join(
        f"| {name} | {choice['weight']:.3g} | {choice['gain']:+.4f} | {choice['users']:,} |"
        for name, choice in summary["students"].items()
    )
    head = "| student | kept | gain | users |\n|---|--:|--:|--:|"
    return (
        "Share of each student's difference from the student it started from that is kept, and its "
        f"gain in NDCG@10, cross-fitted.\n\n{head}\n{rows}"
    )


if __name__ == "__main__":
    program(run)
