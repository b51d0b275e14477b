"""Distil one student: `general` from the teacher's knowledge, a segment's from `general`."""

from tqdm import tqdm

from decant.distillation.gates import expert_line
from decant.distillation.knowledge import load_knowledge
from decant.distillation.student import train_student
from decant.models import bundle
from decant.models.build import load_model, parameter_count, save_model
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.params.models import Distill
from decant.params.types import TEACHER
from decant.training.checkpoint import Checkpoints
from decant.training.supervision import Material
from tasks.runner.artifacts import (
    is_folded,
    load_members,
    load_segment,
    load_sequences,
    load_vectors,
    model_folder,
    student_of,
    why_folded,
)
from tasks.runner.input_notes import notes_on_inputs
from tasks.runner.step import Summary, Workspace, program
from tasks.runner.training_record import write_training_record


def run(workspace: Workspace) -> Summary:
    """Read knowledge, sequences and the model to start from, write the student's bundle."""
    name, params = student_of(workspace), workspace.params
    output = workspace.output(f"models/{name}")
    users = len(load_members(workspace, name))
    if is_folded(workspace, name):
        write_training_record(workspace, name, [])
        print(f"{name}: {users} users, merged into general: {why_folded(workspace, name)}")
        return {"status": "folded", "users": users}
    settings, material = params.settings_of(name), load_material(workspace, name)
    # a student that starts from another has the same inputs
    inherits = params.students[name].init in params.students
    notes = [] if inherits else notes_on_inputs(workspace, settings, material)
    model, report = train_student(
        material,
        settings,
        params.seed,
        members=load_segment(workspace, name),
        log=tqdm.write if not workspace.rank else None,
        checkpoints=Checkpoints(workspace.scratch(name), workspace.code()),
        **load_init(workspace, name, settings),
    )
    summary = {
        "status": "trained",
        "users": users,
        "parameters": parameter_count(model),
        "start_ndcg": report.start_ndcg,
        "best_epoch": report.best_epoch + 1,
        "ndcg": report.ndcg,
        "best_ndcg": report.best,
        "events": report.events,
        "arithmetic": report.arithmetic,
        "experts": report.experts,
    }
    save_model(model, output, material.encoder.items, summary)
    export_onnx(model, output / bundle.GRAPH, material.encoder.max_length)
    bundle.seal(output)
    write_training_record(workspace, name, [report])
    return {**summary, "notes": notes}


def load_material(workspace: Workspace, name: str) -> Material:
    """The training data of one student, with the teacher's knowledge for soft labels."""
    encoder, sequences = load_sequences(workspace)
    soft = workspace.params.students[name].labels == "soft"
    return Material(
        encoder=encoder,
        sequences=sequences,
        vectors=load_vectors(workspace),
        knowledge=load_knowledge(workspace.input("knowledge")) if soft else None,
        cases_per_user=workspace.params.split.cases_per_user,
    )


def load_init(workspace: Workspace, name: str, settings: Distill) -> dict[str, Recommender]:
    """The model a student starts from, as keyword arguments of `train_student`."""
    init = workspace.params.students[name].init
    if init is None:
        return {}
    if init != TEACHER:
        return {"start": load_model(model_folder(workspace, init))}
    return (
        {"teacher": load_model(model_folder(workspace, TEACHER))} if settings.needs_teacher else {}
    )


def describe(summary: Summary) -> str:
    if summary["status"] == "folded":
        return f"{summary['users']:,} users: **merged into general**"
    start = summary["start_ndcg"]
    began = "" if start is None else f", {start:.4f} before"
    return (
        f"{summary['users']:,} users, **{summary['parameters']:,} parameters**; best epoch "
        f"{summary['best_epoch']}, validation NDCG@10 **{summary['best_ndcg']:.4f}**{began}"
        f"{expert_line(summary['experts'])}" + "".join(f"\n\n{note}." for note in summary["notes"])
    )


if __name__ == "__main__":
    program(run, for_student=True)
