"""Train the teacher: one large sequence recommender on all users."""

from functools import partial

from tqdm import tqdm

from decant.distillation.gates import expert_line
from decant.distillation.teacher import train_teacher
from decant.models import bundle
from decant.models.build import architecture, parameter_count, save_model
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.models.warm_start import ENCODER, Transferred, start_from
from decant.params.types import TEACHER
from decant.training.checkpoint import Checkpoints
from decant.training.loop import seeded
from decant.training.supervision import Material
from tasks.runner.artifacts import load_sequences, load_vectors, read_text_encoder
from tasks.runner.input_notes import notes_on_inputs
from tasks.runner.step import Summary, Workspace, program
from tasks.runner.training_record import write_training_record


def run(workspace: Workspace) -> Summary:
    """Read sequences and item vectors, train, write the teacher's bundle."""
    params = workspace.params
    encoder, sequences = load_sequences(workspace)
    material = Material(
        encoder, sequences, load_vectors(workspace), None, params.split.cases_per_user
    )
    notes = notes_on_inputs(workspace, params.teacher, material)
    text_encoder = read_text_encoder(workspace)
    new = partial(new_model, workspace, material, text_encoder)
    _, transferred = new(params.seed)
    if transferred is not None:
        print(transferred.line())
    trained = train_teacher(
        material,
        params.teacher,
        params.seed,
        lambda seed: new(seed)[0],
        Checkpoints(workspace.scratch("teacher"), workspace.code()),
        log=tqdm.write if not workspace.rank else None,
    )
    model, report = trained.model, trained.report
    summary = {
        "inputs": list(model.architecture.inputs),
        ENCODER: text_encoder,
        "warm_start": None if transferred is None else transferred.summary(),
        "ensemble": [max(member.ndcg) for member in trained.ensemble],
        "parameters": parameter_count(model),
        "epochs": len(report.losses),
        "best_epoch": report.best_epoch + 1,
        "ndcg": report.ndcg,
        "losses": report.losses,
        "events": report.events,
        "arithmetic": report.arithmetic,
        "experts": report.experts,
    }
    output = workspace.output("models/teacher")
    save_model(model, output, encoder.items, summary)
    export_onnx(model, output / bundle.GRAPH)
    bundle.seal(output)
    write_training_record(workspace, TEACHER, [report, *trained.ensemble])
    return {**summary, "notes": notes}


def new_model(
    workspace: Workspace, material: Material, text_encoder: str | None, seed: int
) -> tuple[Recommender, Transferred | None]:
    """An untrained model, and a summary of its warm start from another teacher, if any."""
    settings = workspace.params.teacher
    shape = architecture(settings, material.encoder, material.vectors)
    model = seeded(shape, material.vectors, seed)
    if settings.warm_start is None:
        return model, None
    folder = workspace.root / settings.warm_start
    return model, start_from(model, folder, material.encoder.items, text_encoder)


def describe(summary: Summary) -> str:
    members = summary["ensemble"]
    ensemble = f"; ensemble of {len(members)}, the best {max(members):.4f}" if members else ""
    return (
        f"**{summary['parameters']:,} parameters**, reads {', '.join(summary['inputs'])}; best "
        f"epoch {summary['best_epoch']} of {summary['epochs']}, validation NDCG@10 "
        f"**{max(summary['ndcg']):.4f}** ({summary['events']:,} training predictions){ensemble}"
        f"{expert_line(summary['experts'])}" + "".join(f"\n\n{note}." for note in summary["notes"])
    )


if __name__ == "__main__":
    program(run)
