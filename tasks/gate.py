"""Decide which segments get their own student, and whether the candidate may be released.

The verdict is a file; the stage succeeds even if the gate fails.
"""

import json

import pandas as pd

from decant.files import write_json
from decant.release.gate import judge
from decant.release.remedies import remedies
from tasks.runner.artifacts import is_folded, load_groups
from tasks.runner.step import Summary, Workspace, program

NOT_MEASURED, UNDECIDED = "not measured", "–"


def run(workspace: Workspace) -> Summary:
    """Read the evaluation and the compression summaries, write the verdict."""
    params = workspace.params
    evaluation = workspace.input("evaluation")
    hops = {
        name: json.loads((workspace.input(f"compressed/{name}") / "summary.json").read_text())
        for name in params.students
    }
    verdict = judge(
        json.loads((evaluation / "metrics.json").read_text()),
        pd.read_parquet(evaluation / "cases.parquet"),
        load_groups(workspace),
        [name for name in params.students if is_folded(workspace, name)],
        {name: summary.get("hops", {}) for name, summary in hops.items()},
        params.gate,
        params.evaluate,
        params.seed,
        params.variants,
    )
    write_json(workspace.output("gate") / "verdict.json", verdict)
    return verdict


def describe(summary: Summary) -> str:
    word = "PASSED" if summary["passed"] else "FAILED"
    checks = "\n".join(
        f"| {'pass' if c['passed'] else '**FAIL**'} | {c['name']} | {number(c['value'])} "
        f"| {number(c['bound'], '')} | {number(c['threshold'])} "
        f"| {c['why']} |"
        for c in summary["checks"]
    )
    segments = "\n".join(
        f"| {name} | {'own student' if s['ships'] else 'general'} | {number(s['gain'], UNDECIDED)} "
        f"| {number(s['lower_bound'], UNDECIDED)} | {s['reason']} |"
        for name, s in summary["segments"].items()
    )
    segments += "".join(
        f"\n| {name}, a variant of {v['of']} | compared | {number(v['gain'], UNDECIDED)} "
        f"| {number(v['lower_bound'], UNDECIDED)} | {v['reason']} |"
        for name, v in summary["variants"].items()
    )
    off = ", ".join(summary["thresholds_off"])
    note = f"These settings of the gate check nothing: {off}.\n\n" if off else ""
    todo = "".join(f"- To do: {remedy}.\n" for remedy in remedies(summary["checks"]))
    held = "".join(f"Held for a person: {loss}.\n\n" for loss in summary["held"])
    return (
        f"**{word}**\n\n{todo}\n{note}{held}"
        f"| | check | value | bound | at least | meaning |\n|---|---|---|---|---|---|\n{checks}\n\n"
        f"| segment | served by | gain | lower bound | why |\n|---|---|---|---|---|\n{segments}"
    )


def number(value: float | None, absent: str = NOT_MEASURED) -> str:
    if value is None:
        return absent
    return str(int(value)) if value == int(value) else f"{value:.4f}"


if __name__ == "__main__":
    program(run)
