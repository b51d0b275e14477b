"""Search for better settings of one stage on validation; see `decant.tuning`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from decant.files import canonical, digest, digest_file
from decant.params.edit import replace
from decant.params.load import Params, ParamsError, load_params
from decant.tuning.report import DIFF, TRIALS, compare, proposal, put, table, verdict, write
from decant.tuning.search import search
from decant.tuning.space import Plan
from decant.tuning.study import JOB, Study, TrialResult
from tasks.runner.code_digest import Code
from tasks.runner.input_guard import InputChangedError

FOLDER = Path(".decant/tuning")
READS = {
    "teacher": ("features/sequences", "features/encoder.json", "vectors"),
    "distill": ("features/sequences", "features/encoder.json", "vectors", "knowledge"),
}
EXAMPLE = "learning_rate: {low: 0.0005, high: 0.01, log: true}"


@dataclass(frozen=True)
class SearchSummary:
    """The outcome of a search; `diff` is empty if nothing changes.

    `folder`, relative to the project's, holds all trials, the diff, and the state to resume from.
    """

    table: str
    verdict: str
    diff: str
    folder: Path
    applied: bool

    def __str__(self) -> str:
        files = ", ".join([TRIALS, *([DIFF] if self.diff else [])])
        lines = [self.table, self.verdict]
        if self.diff:
            lines.append(self.diff.rstrip())
        lines.append(f"trials   {self.folder}/ ({files})")
        if self.diff:
            state = "changed as shown" if self.applied else "unchanged; `--apply` writes the change"
            lines.append(f"params.yaml: {state}")
        return "\n".join(lines)


@task(name="tune", task_run_name="tune", persist_result=False, cache_policy=NO_CACHE)
def tune_task(root: Path, params: Params, *, apply: bool) -> SearchSummary:
    """`tune` as a Prefect task, with its log and its summary as an artifact."""
    summary = tune(root, params, get_run_logger().info, apply=apply)
    page = f"{summary.verdict}\n\n```text\n{summary.table}\n```\n"
    page += f"\n```diff\n{summary.diff}```\n" if summary.diff else ""
    create_markdown_artifact(key="tune", markdown=page, description=summary.verdict)
    return summary


def tune(root: Path, params: Params, log: Callable[[str], None], *, apply: bool) -> SearchSummary:
    """Search, compare, write the outcome's files, and params.yaml if `apply`.

    Raises:
        ParamsError: nothing to search. SearchError: the search cannot continue.
        EditError: params.yaml cannot be edited. InputChangedError: it changed during the search.
    """
    plan, folder = plan_of(params), folder_of(root, params)
    results = run_search(root, params, folder, log)
    comparison = compare(plan, results, folder, params.evaluate.resamples)
    path = root / "params.yaml"
    now = load_params(path).model_copy(update={"tune": params.tune})
    if Plan.from_params(now).block != plan.block:
        raise InputChangedError([f"`{params.tune.stage}` in params.yaml"])
    after, diff = proposal(comparison, path.read_text(encoding="utf-8"))
    write(comparison, folder, diff)
    if apply and diff:
        replace(path, after)
    place = folder.relative_to(root)
    return SearchSummary(table(comparison), verdict(comparison), diff, place, applied=apply)


def run_search(
    root: Path, params: Params, folder: Path, log: Callable[[str], None]
) -> list[TrialResult]:
    """Run the remaining trials in `tune.workers` processes."""
    log(f"state in {folder.relative_to(root)}; an interrupted search resumes from there")
    study = Study(folder)
    put(folder / JOB, canonical(params.model_dump(mode="json", by_alias=True)).decode())
    command = (sys.executable, "-m", "tasks.trial", str(folder))
    search(plan_of(params), study, command, root, log)
    return study.results()


def plan_of(params: Params) -> Plan:
    """The plan of a search.

    Raises:
        ParamsError: the space is empty, or the teacher's warm start may have seen the trials'
            validation windows.
    """
    problem = None
    if not params.tune.space:
        problem = f"`tune.space` is empty: name settings and their ranges, such as `{EXAMPLE}`"
    elif params.tune.stage == "teacher" and params.teacher.warm_start is not None:
        problem = (
            "`teacher.warm_start`: trials train from scratch, since another teacher may have seen "
            "their validation events: set it to null for the search"
        )
    if problem is not None:
        raise ParamsError(Path("params.yaml"), [problem])
    return Plan.from_params(params)


def folder_of(root: Path, params: Params) -> Path:
    """The folder of a search, derived from its data, space, settings and code.

    A search with more trials or other workers has the same folder and extends it.
    """
    inputs = {
        "tune": params.tune.model_dump(mode="json", exclude={"trials", "workers"}),
        "block": Plan.from_params(params).block.model_dump(mode="json"),
        "seed": params.seed,
        "split": params.split.model_dump(mode="json"),
    }
    parts = [canonical(inputs), Code(root).digest("tasks.trial").encode()]
    for name in READS[params.tune.stage]:
        place = root / "data" / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                parts.append(f"{path.relative_to(root).as_posix()} {digest_file(path)}".encode())
    return root / FOLDER / digest(parts)[:16]
