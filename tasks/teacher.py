"""Train the teacher: one large sequence recommender on everybody."""

from tqdm import tqdm

from decant.compression.export import export_onnx
from decant.features.validation import picks
from decant.models import bundle
from decant.models.build import architecture
from decant.models.checkpoint import parameter_count, save_model
from decant.models.transfer import ENCODER, start_from
from decant.training.batches import training_windows
from decant.training.checkpoints import Checkpoints
from decant.training.lesson import Lesson
from decant.training.loop import seeded, train
from tasks.material import load_sequences, load_vectors, read_text_encoder
from tasks.program import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read sequences and item vectors, train, write the teacher's bundle."""
    params = workspace.params
    encoder, sequences = load_sequences(workspace)
    vectors = load_vectors(workspace)
    shape = architecture(params.teacher, encoder, vectors)
    model = seeded(shape, vectors, params.seed)
    text_encoder, started = read_text_encoder(workspace), None
    if params.teacher.init_from is not None:
        folder = workspace.root / params.teacher.init_from
        started = start_from(model, folder, encoder.items, text_encoder)
        print(started.line())
    windows = training_windows(sequences, shape.max_length)
    lesson = Lesson(
        lambda rng: windows, picks(sequences, params.split.cases_per_user), encoder.exclude_seen
    )
    report = train(
        model,
        sequences,
        lesson,
        params.teacher,
        epochs=params.teacher.epochs,
        learning_rate=params.teacher.learning_rate,
        seed=params.seed,
        log=tqdm.write if not workspace.rank else None,
        checkpoints=Checkpoints(workspace.scratch("teacher"), workspace.code()),
    )
    summary = {
        "inputs": list(shape.inputs),
        ENCODER: text_encoder,
        "init_from": None if started is None else started.summary(),
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
    return summary


def describe(summary: Summary) -> str:
    return (
        f"**{summary['parameters']:,} parameters**, reads {', '.join(summary['inputs'])}; best "
        f"epoch {summary['best_epoch']} of {summary['epochs']}, validation NDCG@10 "
        f"**{max(summary['ndcg']):.4f}** ({summary['events']:,} predictions trained on)"
    )


if __name__ == "__main__":
    program(run)
