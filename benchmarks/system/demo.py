"""The demo shop, end to end: quality of the released family, and cost of the run."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.experiments.data_sets import Log, outcome_of, read_run
from benchmarks.harness.checkout import Clone, Ended
from benchmarks.harness.demo_workspace import ShopError, lock_of
from benchmarks.provenance.trainings import trainings
from decant.features.sequences import TEST, VALIDATION
from decant.report.results import Figure, Outcome, plain

# the report page's evidence, computed by the clone's code
EVIDENCE = """
import json
from pathlib import Path
from decant.params.load import load_params
from tasks.runner.step import Workspace
from tasks.report import read_evidence
evidence = read_evidence(Workspace(Path(), load_params(Path("params.yaml"))))
print(json.dumps({
    "figures": evidence.figures, "retention": evidence.retention, "lift": evidence.lift,
    "decisions": evidence.decisions, "metrics": evidence.metrics, "verdict": evidence.verdict,
    "oracle": [[share.name, share.group, share.share] for share in evidence.oracle],
}))
"""
VERDICT = Path("data/gate/verdict.json")
HEAD = "model, test window"  # start of the table of models


def bench(project: Clone, log: Log, *, window: str) -> Outcome:
    """Run the demo twice; on test, read the evidence of its report, else rank validation."""
    params = project.read("params.yaml")
    log("first run, of all stages; some minutes")
    first = project.flow()
    if window != TEST:
        return on_validation(project, params, first)
    if first.status:
        raise ShopError(f"the demo failed: {first.error}")
    log("second run, of up-to-date stages")
    second = project.flow()
    evidence_run = project.run("-c", EVIDENCE)
    if evidence_run.status:
        raise ShopError(f"the evidence cannot be read: {evidence_run.error}")
    evidence = json.loads(evidence_run.output.splitlines()[-1])
    outcome = Outcome(protocol(evidence, params), [params["seed"], params["raw"]["seed"]])
    outcome.trained = trainings(project.root)
    outcome.shown = ending(first.output)
    outcome.measured("run.first.seconds", round(first.seconds, 1), len(lock_of(project)))
    outcome.measured("run.second.seconds", round(second.seconds, 1))
    again = second.stages("ran", "restored", "accepted")
    outcome.holds("run.second.skips_all", not second.status and not again, str(sorted(again)))
    outcome.holds("gate.passed", bool(evidence["verdict"].get("passed")), "see the report")
    for name, figure in figures(evidence).items():
        outcome.figures[name] = figure
    return outcome


def on_validation(project: Clone, params: dict[str, Any], run: Ended) -> Outcome:
    """Figures of the validation window, whatever the gate says of test.

    Raises:
        ShopError: the run ended before the gate.
    """
    if not (project.root / VERDICT).is_file():
        raise ShopError(f"the demo failed: {run.error}")
    seed = int(params["seed"])
    outcome = outcome_of(
        {seed: read_run(project.root)}, params, "demo", "of params.yaml", VALIDATION
    )
    outcome.measured("run.first.seconds", round(run.seconds, 1), len(lock_of(project)))
    return outcome


def ending(output: str) -> str:
    """The end of a run's output, from the table of models on."""
    lines = output.splitlines()
    first = next((n for n, line in enumerate(lines) if line.startswith(HEAD)), len(lines))
    return "\n".join(line.rstrip() for line in lines[first:])


def protocol(evidence: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Description of the protocol."""
    ranked = evidence["metrics"]["protocol"]
    return {
        "shop": "{users} users, {items} items, {steps} steps per user".format(**params["raw"]),
        "split": "{method}, test window the last {test:.0%} of events".format(**ranked["split"]),
        "ranked": f"{ranked['ranked']}, ties {ranked['ties']}, seen items "
        + ("are never recommended" if ranked["exclude_seen"] else "may be recommended"),
        "oracle.share": "NDCG ÷ that of the best possible ranking, on the model's own group",
        "retention": "NDCG of a released student ÷ the teacher's on its group",
        "gain": "NDCG of a segment's student minus the general student's in that group, per user; "
        "`validation` decides, test confirms",
        "ratios": "teacher ÷ released student, served files and p50 of one request, "
        "both in ONNX Runtime",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
    }


def figures(evidence: dict[str, Any]) -> dict[str, Figure]:
    """All known figures by dotted name."""
    values: dict[str, Figure | None] = {
        **evidence["figures"],
        "family.lift": less_one(evidence["lift"]),
        **{f"retention.{name}": share for name, share in evidence["retention"].items()},
    }
    best = evidence["verdict"].get("best_baseline")
    bar, teacher = (ndcg_of(evidence["metrics"], name) for name in (best, "teacher"))
    if bar and teacher:
        values["baseline.best.ndcg@10"] = plain(bar)
        values["teacher.lift"] = plain(teacher / bar - 1)
    for model, _, share in evidence["oracle"]:
        values[f"oracle.share.{short(model, best)}"] = share
    for segment, windows in evidence["decisions"].items():
        for window, gain in windows.items():
            values[f"segment.{segment}.gain.{window}"] = gain
    for student in evidence["retention"]:
        for name, path in (("size", ("bytes",)), ("latency", ("latency_us", "p50"))):
            values[f"{name}.ratio.{student}"] = cost_ratio(evidence["metrics"], student, *path)
    return {name: figure for name, figure in values.items() if figure is not None}


def less_one(ratio: Figure | None) -> Figure | None:
    """A ratio as what it is more than 1."""
    if ratio is None:
        return None
    low, high = (None if bound is None else bound - 1 for bound in (ratio["low"], ratio["high"]))
    return {"value": ratio["value"] - 1, "low": low, "high": high, "n": ratio["n"]}


def ndcg_of(metrics: dict[str, Any], model: str | None) -> float | None:
    """A model's NDCG on the test window, over all users; None if unknown."""
    return look(metrics["models"].get(model), (TEST, "all", "ndcg"))


def short(model: str, best: str | None) -> str:
    """A model's name within figure names: `teacher`, `general`, `baseline.popularity`."""
    if model == best:
        return "baseline.best"
    name, _, hop = model.partition("/")
    return name if hop or name in ("teacher", "family") else f"baseline.{name}"


def cost_ratio(metrics: dict[str, Any], student: str, *path: str) -> Figure | None:
    """A cost of the teacher ÷ that of a released student; None if one is unknown."""
    above, below = (look(metrics["models"].get(n), path) for n in ("teacher", f"{student}/int8"))
    if not above or not below:
        return None
    return plain(above / below)


def look(document: Any, path: tuple[str, ...]) -> float | None:
    """A number in nested mappings, None if missing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, int | float) else None
