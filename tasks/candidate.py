"""Assemble the accepted students into a release candidate, with an id derived from its content."""

from decant.release.candidate import Parts, assemble
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Write data/candidate from the compressed students that the gate accepted."""
    parts = Parts(
        bundles=workspace.input("compressed"),
        router=workspace.input("segments/router.json"),
        encoder=workspace.input("features/encoder.json"),
        verdict=workspace.input("gate/verdict.json"),
        metrics=workspace.input("evaluation/metrics.json"),
        raw=workspace.input("ingested/raw.json"),
    )
    folder = workspace.output("candidate")
    candidate = assemble(parts, workspace.params, folder)
    return {
        "id": candidate["id"],
        "passed": candidate["passed"],
        "students": sorted(candidate["students"]),
        "folded": candidate["folded"],
        "bytes": sum(path.stat().st_size for path in folder.rglob("*.onnx")),
    }


def describe(summary: Summary) -> str:
    """The candidate in Markdown."""
    verdict = "passed" if summary["passed"] else "failed"
    return "\n".join(
        [
            f"**Candidate `{summary['id']}`**: {verdict} the gate",
            "",
            f"- students: {', '.join(summary['students'])}",
            f"- served by general: {', '.join(summary['folded']) or 'no segment'}",
            f"- models: {summary['bytes'] / 1e6:.2f} MB",
        ]
    )


if __name__ == "__main__":
    program(run)
