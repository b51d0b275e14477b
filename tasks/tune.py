"""Search better settings of one stage on validation; see `decant.tuning`."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from decant.params.edit import replace
from decant.params.load import Params, ParamsError, load_params
from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning.cases import CASES, make_place
from decant.tuning.outcome import DIFF, TRIALS, find, proposal, table, verdict, write
from decant.tuning.plan import Plan
from decant.tuning.search import search
from decant.tuning.tried import Tried
from decant.tuning.workers import Worker
from tasks.fingerprint import fingerprint
from tasks.runner.input_guard import ChangedMeanwhile

FOLDER = Path(".decant/tuning")
READS = {
    "teacher": ("features/sequences", "features/encoder.json", "vectors"),
    "distill": ("features/sequences", "features/encoder.json", "vectors", "knowledge"),
}
EXAMPLE = "learning_rate: {low: 0.0005, high: 0.01, log: true}"


@dataclass(frozen=True)
class Outcome:
    """What a search has found, for people; `diff` is empty where nothing changes.

    `folder`, below the project's: all trials, the diff, and what a search goes on from.
    """

    table: str
    verdict: str
    diff: str
    folder: Path
    applied: bool

    def __str__(self) -> str:
        files = ", ".join([TRIALS, *([DIFF] if self.diff else [])])
        last = f"trials   {self.folder}/ ({files})"
        if self.diff:
            last += "\nparams.yaml: " + (
                "changed as shown" if self.applied else "as it was; `--apply` writes the change"
            )
        parts = [self.table, self.verdict, *([self.diff.rstrip()] if self.diff else []), last]
        return "\n".join(parts)


@task(name="tune", task_run_name="tune", persist_result=False, cache_policy=NO_CACHE)
def tune_task(root: Path, params: Params, *, apply: bool) -> Outcome:
    """`tune`, with its lines in the log and its outcome as an artifact."""
    outcome = tune(root, params, get_run_logger().info, apply=apply)
    page = f"{outcome.verdict}\n\n```text\n{outcome.table}\n```\n"
    page += f"\n```diff\n{outcome.diff}```\n" if outcome.diff else ""
    create_markdown_artifact(key="tune", markdown=page, description=outcome.verdict)
    return outcome


def tune(root: Path, params: Params, log: Callable[[str], None], *, apply: bool) -> Outcome:
    """Search, compare, write the files of the outcome, and params.yaml if `apply`.

    Raises:
        ParamsError: there is nothing to search. NowFails: see `search`.
        EditError: params.yaml cannot be edited line by line. ChangedMeanwhile: it was.
    """
    plan, folder = plan_of(params), folder_of(root, params)
    tried = run_search(root, params, plan, folder, log)
    found = find(plan, tried, folder, params.evaluate.resamples)
    path = root / "params.yaml"
    if block_of(load_params(path), params.tune) != plan.block:
        raise ChangedMeanwhile([f"`{params.tune.stage}` in params.yaml"])
    after, diff = proposal(found, path.read_text(encoding="utf-8"))
    write(found, folder, diff)
    if apply and diff:
        replace(path, after)
    told = folder.relative_to(root)
    return Outcome(table(found), verdict(found), diff, told, applied=apply)


def run_search(
    root: Path, params: Params, plan: Plan, folder: Path, log: Callable[[str], None]
) -> list[Tried]:
    """Make the trials that are left, each in one of `tune.workers` processes."""
    log(f"state in {folder.relative_to(root)}, a search that is interrupted goes on from there")
    make_place(folder / CASES)
    command = (sys.executable, "-m", "tasks.trial")
    job = {"params": params.model_dump(mode="json", by_alias=True), "folder": str(folder)}
    workers = [
        Worker(command, job, root, folder / f"worker-{number}.log")
        for number in range(min(params.tune.workers, plan.total))
    ]
    return search(plan, folder, workers, log)


def plan_of(params: Params) -> Plan:
    """What is searched.

    Raises:
        ParamsError: no setting is named, or a trial would begin with what has seen its windows.
    """
    if not params.tune.space:
        problem = f"`tune.space` is empty: name settings and their ranges, such as `{EXAMPLE}`"
        raise ParamsError(Path("params.yaml"), [problem])
    if params.tune.stage == "teacher" and params.teacher.init_from is not None:
        problem = (
            "`teacher.init_from`: trials start from nothing, since another teacher may have seen "
            "what they validate on: set it to null while you search"
        )
        raise ParamsError(Path("params.yaml"), [problem])
    return Plan(params.tune, block_of(params, params.tune), params.seed)


def block_of(params: Params, tune: Tune) -> Training:
    """The block that is searched, with the epochs that a trial has."""
    block: Training = getattr(params, tune.stage)
    return block if tune.epochs is None else block.model_copy(update={"epochs": tune.epochs})


def folder_of(root: Path, params: Params) -> Path:
    """The search's own place: the same for the same data, space, settings and code.

    More trials, or other workers, go on with what is there.
    """
    asked = {
        "tune": params.tune.model_dump(mode="json", exclude={"trials", "workers"}),
        "block": block_of(params, params.tune).model_dump(mode="json"),
        "seed": params.seed,
        "split": params.split.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    digest.update(fingerprint(root, "tasks.trial").encode())
    for name in READS[params.tune.stage]:
        place = root / "data" / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return root / FOLDER / digest.hexdigest()[:16]
