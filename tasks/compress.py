"""Prune and quantise one student."""

from decant.compression.compress import compress_student
from decant.models.build import load_model
from tasks.distill import load_material
from tasks.runner.artifacts import is_folded, load_segment, model_folder, student_of
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read a student's bundle, write its pruned and its int8 bundle."""
    name, params = student_of(workspace), workspace.params
    output = workspace.output(f"compressed/{name}")
    if is_folded(workspace, name):
        return {"status": "folded"}
    hops = compress_student(
        load_model(model_folder(workspace, name)),
        load_segment(workspace, name),
        load_material(workspace, name),
        params.compress,
        params.settings_of(name),
        params.seed,
        output,
    )
    hops_allowed = 1 - params.compress.max_loss
    # two hops may each lose their share
    return {"status": "compressed", "hops": {**hops, "allowed": hops_allowed**2}}


def describe(summary: Summary) -> str:
    if summary["status"] == "folded":
        return "merged into general"
    rows = "\n".join(
        f"| {hop} | {summary['hops'][hop]['ndcg']:.4f} | {summary['hops'][hop].get('taken', '')} |"
        for hop in ("distilled", "pruned", "int8")
    )
    return f"| hop | validation NDCG@10 | taken |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    program(run, for_student=True)
