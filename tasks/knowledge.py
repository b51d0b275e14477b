"""Extract the teacher's soft labels at every training position; on request states and relations."""

import time

from tqdm import tqdm

from decant.distillation.cross_fitted import CrossFitted
from decant.distillation.knowledge import extract
from decant.models import bundle
from decant.models.build import load_model
from decant.training.batches import training_windows
from decant.training.device import device_of
from tasks.runner.artifacts import load_sequences, model_folder
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the teacher and the sequences, write its top-K labels."""
    encoder, sequences = load_sequences(workspace)
    device = device_of(workspace.params.teacher)
    folder = model_folder(workspace, "teacher")
    teacher = load_model(folder).to(device)
    output = workspace.output("knowledge")
    pieces = len(training_windows(sequences, encoder.max_length))
    settings, began = workspace.params.knowledge, time.perf_counter()
    cross_fitted = None
    if settings.experts and teacher.experts is not None:
        half_life = bundle.read_json(folder, bundle.METRICS)["experts"]["half_life"]
        cross_fitted = CrossFitted(teacher, sequences, half_life)
    with tqdm(total=pieces, unit="sequence", desc="knowledge", mininterval=5) as bar:
        summary = extract(
            [teacher],
            sequences,
            output,
            settings.top_k,
            states=settings.states,
            relations=settings.relations,
            cross_fitted=cross_fitted,
            progress=bar.update,
        )
    print(
        f"extracted in {time.perf_counter() - began:.1f} s"
    )  # not in the summary, which DVC hashes
    return {**summary, "experts": cross_fitted is not None}


def describe(summary: Summary) -> str:
    sizes = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in summary["bytes"].items())
    asked = "network and experts" if summary["experts"] else "network alone"
    return (
        f"{summary['positions']:,} positions, the {summary['top_k']} most probable items each "
        f"({summary['mass']:.0%} of the probability; {asked}): {sizes}"
    )


if __name__ == "__main__":
    program(run)
