"""Prune and quantise one student."""

from decant.compression.compress import compress_student
from decant.models.build import load_model
from tasks.distill import load_material
from tasks.runner.artifacts import (
    distilled_folder,
    is_folded,
    load_segment,
    shrunk_weight,
    student_of,
)
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read a student's bundle, write its pruned and int8 bundles."""
    name, params = student_of(workspace), workspace.params
    output = workspace.output(f"compressed/{name}")
    if is_folded(workspace, name):
        return {"status": "folded"}
    hops = compress_student(
        load_model(distilled_folder(workspace, name)),
        load_segment(workspace, name),
        load_material(workspace, name),
        params.compress,
        params.settings_of(name),
        params.seed,
        output,
    )
    ratio = 1 - params.compress.max_loss  # allowed for each of the two compression steps
    hops["distilled"]["shrunk_to"] = shrunk_weight(workspace, name)
    return {"status": "compressed", "hops": {**hops, "allowed": ratio**2}}


def describe(summary: Summary) -> str:
    if summary["status"] == "folded":
        return "merged into general"
    rows = "\n".join(
        f"| {hop} | {summary['hops'][hop]['ndcg']:.4f} | {summary['hops'][hop].get('taken', '')} |"
        for hop in ("distilled", "pruned", "int8")
    )
    return f"| step | validation NDCG@10 | selected |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    program(run, for_student=True)
