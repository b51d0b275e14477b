"""Extract the teacher's soft labels at every training position; on request states and relations."""

import time

from tqdm import tqdm

from decant.distillation.knowledge import extract
from decant.models.build import load_model
from decant.training.batches import training_windows
from decant.training.device import device_of
from tasks.runner.artifacts import load_sequences, model_folder
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the teacher and the sequences, write its top-K labels."""
    encoder, sequences = load_sequences(workspace)
    device = device_of(workspace.params.teacher)
    teacher = load_model(model_folder(workspace, "teacher")).to(device)
    output = workspace.output("knowledge")
    pieces = len(training_windows(sequences, encoder.max_length))
    settings, began = workspace.params.knowledge, time.perf_counter()
    with tqdm(total=pieces, unit="sequence", desc="knowledge", mininterval=5) as bar:
        summary = extract(
            [teacher],
            sequences,
            output,
            settings.top_k,
            states=settings.states,
            relations=settings.relations,
            progress=bar.update,
        )
    print(
        f"extracted in {time.perf_counter() - began:.1f} s"
    )  # not in the summary, which DVC hashes
    return summary


def describe(summary: Summary) -> str:
    sizes = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in summary["bytes"].items())
    return (
        f"{summary['positions']:,} positions, the {summary['top_k']} most probable items each "
        f"({summary['mass']:.0%} of the probability): {sizes}"
    )


if __name__ == "__main__":
    program(run)
