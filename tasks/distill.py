"""Distil one student: general from the teacher's knowledge, a segment's from general."""

from tqdm import tqdm

from decant.distillation.knowledge import load_knowledge
from decant.distillation.student import Material, distill_general, distill_segment
from decant.models import bundle
from decant.models.build import load_model, parameter_count, save_model
from decant.models.export import export_onnx
from decant.params.types import GENERAL, TEACHER
from decant.training.checkpoint import Checkpoints
from tasks.runner.artifacts import (
    is_folded,
    load_members,
    load_sequences,
    load_vectors,
    model_folder,
    student_of,
)
from tasks.runner.input_notes import notes_on_inputs
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read knowledge, sequences and the model to start from, write the student's bundle."""
    name, params = student_of(workspace), workspace.params
    output = workspace.output(f"models/{name}")
    if is_folded(workspace, name):
        users = len(load_members(workspace, name))
        print(f"{name}: {users} users, fewer than {params.distill.min_users}: folded into general")
        return {"status": "folded", "users": users}
    material = load_material(workspace)
    saved = Checkpoints(workspace.scratch(name), workspace.code())
    log = tqdm.write if not workspace.rank else None
    notes: list[str] = []
    if name == GENERAL:
        notes = notes_on_inputs(workspace, params.distill, material)
        needed = params.distill.needs_teacher
        teacher = load_model(model_folder(workspace, TEACHER)) if needed else None
        model, report = distill_general(
            material, params.distill, params.seed, log, saved, teacher=teacher
        )
    else:
        start = load_model(model_folder(workspace, GENERAL))
        members = load_members(workspace, name)
        model, report = distill_segment(
            start, members, material, params.distill, params.seed, log, saved
        )
    summary = {
        "status": "trained",
        "users": len(load_members(workspace, name)),
        "parameters": parameter_count(model),
        "start_ndcg": report.start_ndcg,
        "best_epoch": report.best_epoch + 1,
        "ndcg": report.ndcg,
        "events": report.events,
    }
    save_model(model, output, material.encoder.items, summary)
    export_onnx(model, output / bundle.GRAPH)
    bundle.seal(output)
    return {**summary, "notes": notes}


def load_material(workspace: Workspace) -> Material:
    """What every student learns from."""
    encoder, sequences = load_sequences(workspace)
    return Material(
        encoder=encoder,
        sequences=sequences,
        vectors=load_vectors(workspace),
        knowledge=load_knowledge(workspace.input("knowledge")),
        cases_per_user=workspace.params.split.cases_per_user,
    )


def describe(summary: Summary) -> str:
    if summary["status"] == "folded":
        return f"{summary['users']:,} users are too few: **folded into general**"
    start = summary["start_ndcg"]
    began = "" if start is None else f", general had {start:.4f}"
    return (
        f"{summary['users']:,} users, **{summary['parameters']:,} parameters**; best epoch "
        f"{summary['best_epoch']}, validation NDCG@10 **{max(summary['ndcg']):.4f}**{began}"
        + "".join(f"\n\n{note}." for note in summary["notes"])
    )


if __name__ == "__main__":
    program(run, for_student=True)
