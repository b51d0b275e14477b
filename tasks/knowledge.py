"""Write down what the teacher knows: soft labels at every training position."""

from tqdm import tqdm

from decant.distillation.knowledge import extract
from decant.models.checkpoint import load_model
from decant.training.batches import training_windows
from tasks.material import load_sequences, model_folder
from tasks.program import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the teacher and the sequences, write its top-K labels."""
    encoder, sequences = load_sequences(workspace)
    teacher = load_model(model_folder(workspace, "teacher"))
    output = workspace.output("knowledge")
    pieces = len(training_windows(sequences, encoder.max_length))
    with tqdm(total=pieces, unit="sequence", desc="knowledge", mininterval=5) as bar:
        return extract([teacher], sequences, output, workspace.params.knowledge.top_k, bar.update)


def describe(summary: Summary) -> str:
    return (
        f"{summary['positions']:,} positions, the {summary['top_k']} likeliest items each "
        f"({summary['mass']:.0%} of the probability), {summary['bytes'] / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    program(run)
