"""Write the HTML report of the run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decant.files import read_json, write_json
from decant.params.types import GENERAL
from decant.report.evidence import Evidence, Origin, gather
from decant.report.headline import group_rows, headline, learning_rows, model_rows
from decant.report.page import page
from decant.report.verdict import sentence
from tasks.runner.artifacts import load_groups
from tasks.runner.step import Summary, Workspace, program

PAGE = "index.html"


def run(workspace: Workspace) -> Summary:
    """Read the evaluation, the verdict and the stages' summaries; write the page.

    Also writes metrics.json and three tables for `dvc metrics` and `dvc plots`.
    """
    evidence = read_evidence(workspace)
    teacher = read_json(workspace.input("models/teacher/summary.json"))
    output = workspace.output("report")
    (output / PAGE).write_text(page(evidence), encoding="utf-8")
    write_json(output / "metrics.json", headline(evidence))
    tables = {
        "models": model_rows(evidence),
        "groups": group_rows(evidence),
        "learning": learning_rows(teacher["losses"], teacher["ndcg"]),
    }
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(output / f"{name}.csv", index=False)
    return {
        "passed": bool(evidence.verdict.get("passed")),
        "sentence": sentence(evidence),
        "figures": evidence.figures,
    }


def read_evidence(workspace: Workspace) -> Evidence:
    """Evidence of the page, from the files of earlier stages."""
    params = workspace.params
    evaluation = workspace.input("evaluation")
    serving = {GENERAL: params.students[GENERAL], **params.segments}
    with np.load(evaluation / "top.npz", allow_pickle=False) as top:
        return gather(
            metrics=read_json(workspace.input("evaluation/metrics.json")),
            verdict=read_json(workspace.input("gate/verdict.json")),
            cases=pd.read_parquet(evaluation / "cases.parquet"),
            top=top,
            members=load_groups(workspace),
            hops={
                name: read_json(workspace.input(f"compressed/{name}/summary.json")).get("hops", {})
                for name in serving
            },
            students=serving,
            origin=Origin(
                read_json(workspace.input("validated/summary.json")),
                read_json(workspace.input("features/summary.json")),
                read_json(workspace.input("segments/summary.json")),
            ),
            evaluation=params.evaluate,
            gate=params.gate,
            seed=params.seed,
            baskets=read_baskets(evaluation / "baskets.parquet"),
        )


def read_baskets(path: Path) -> pd.DataFrame | None:
    """The quality before every basket, None where the data has no baskets."""
    return pd.read_parquet(path) if path.is_file() else None


def describe(summary: Summary) -> str:
    """The verdict and the figures in Markdown."""
    rows = "\n".join(
        f"| {name} | {f['value']:.4f} | {bounds(f)} |" for name, f in summary["figures"].items()
    )
    word = "Passed" if summary["passed"] else "Failed"
    return (
        f"**{word}.** {summary['sentence']}\n\n"
        f"The page: `data/report/{PAGE}`\n\n| figure | test | 95 % |\n|---|---|---|\n{rows}"
    )


def bounds(figure: dict[str, Any]) -> str:
    """The interval of a figure, empty if it has none."""
    if figure["low"] is None or figure["high"] is None:
        return ""
    return f"{figure['low']:.4f} to {figure['high']:.4f}"


if __name__ == "__main__":
    program(run)
