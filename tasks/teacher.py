"""Train the teacher: one large sequence recommender on everybody."""

from functools import partial

from tqdm import tqdm

from decant.distillation.teacher import train_teacher
from decant.models import bundle
from decant.models.build import architecture, parameter_count, save_model
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.models.warm_start import ENCODER, Transferred, start_from
from decant.training.checkpoint import Checkpoints
from decant.training.loop import seeded
from decant.training.supervision import Material
from tasks.runner.artifacts import load_sequences, load_vectors, read_text_encoder
from tasks.runner.input_notes import notes_on_inputs
from tasks.runner.step import Summary, Workspace, program


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
    _, started = new(params.seed)
    if started is not None:
        print(started.line())
    taught = train_teacher(
        material,
        params.teacher,
        params.seed,
        lambda seed: new(seed)[0],
        Checkpoints(workspace.scratch("teacher"), workspace.code()),
        log=tqdm.write if not workspace.rank else None,
    )
    model, report = taught.model, taught.report
    summary = {
        "inputs": list(model.architecture.inputs),
        ENCODER: text_encoder,
        "warm_start": None if started is None else started.summary(),
        "ensemble": [max(member.ndcg) for member in taught.ensemble],
        "parameters": parameter_count(model),
        "epochs": len(report.losses),
        "best_epoch": report.best_epoch + 1,
        "ndcg": report.ndcg,
        "losses": report.losses,
        "events": report.events,
    }
    output = workspace.output("models/teacher")
    save_model(model, output, encoder.items, summary)
    export_onnx(model, output / bundle.GRAPH)
    bundle.seal(output)
    return {**summary, "notes": notes}


def new_model(
    workspace: Workspace, material: Material, text_encoder: str | None, seed: int
) -> tuple[Recommender, Transferred | None]:
    """A model before its training, and what it took over from another teacher, if from one."""
    settings = workspace.params.teacher
    shape = architecture(settings, material.encoder, material.vectors)
    model = seeded(shape, material.vectors, seed)
    if settings.warm_start is None:
        return model, None
    folder = workspace.root / settings.warm_start
    return model, start_from(model, folder, material.encoder.items, text_encoder)


def describe(summary: Summary) -> str:
    others = summary["ensemble"]
    taught = f"; taught by {len(others)} others, the best {max(others):.4f}" if others else ""
    return (
        f"**{summary['parameters']:,} parameters**, reads {', '.join(summary['inputs'])}; best "
        f"epoch {summary['best_epoch']} of {summary['epochs']}, validation NDCG@10 "
        f"**{max(summary['ndcg']):.4f}** ({summary['events']:,} predictions trained on){taught}"
        + "".join(f"\n\n{note}." for note in summary["notes"])
    )


if __name__ == "__main__":
    program(run)
