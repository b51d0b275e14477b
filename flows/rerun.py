"""Rerun exactly one stage, optionally with everything downstream.

Run: `python -m flows.rerun STAGE[@STUDENT] [--downstream]`
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prefect import flow
from prefect.runtime import deployment
from pydantic import BaseModel, ConfigDict, Field

from decant.cli import Parser
from decant.params.load import ParamsError, load_params
from decant.params.types import GENERAL
from decant.suggest import nearest, suggest
from flows.console import run_cli
from flows.server import temporary_server
from flows.workspace import threads, workspace
from tasks.runner.dvc_stages import FINGERPRINT, Run, StageResult
from tasks.runner.prefect_task import stage

ABOUT = "Run one stage again even if it is up to date; its inputs are used as they are."


class UnknownStageError(ValueError):
    """No stage has this name; `known` are the candidates for the suggestion.

    `near`: the suggestion, if it is known already.
    """

    def __init__(self, name: str, known: list[str], near: str | None = None) -> None:
        self.name, self.known = name, known
        hint = suggest(near or name, known, "stages", also_list=near is not None)
        super().__init__(f"no stage `{name}`; {hint}")


def choices(root: Path) -> dict[str, Any]:
    """Choices of Prefect's form: every stage, once per student where a stage has students.

    Empty if the graph is missing or invalid: the form is built on import, and the flow itself
    reports the error later.
    """
    try:
        students = load_params(root / "params.yaml").students
        stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except (ParamsError, OSError, yaml.YAMLError):
        return {}
    names = [
        [f"{name}@{student}" for student in students] if "foreach" in stage else [name]
        for name, stage in stages.items()
        if name != FINGERPRINT
    ]
    return {"enum": [name for group in names for name in group]}


class Options(BaseModel):
    """Stage to rerun."""

    model_config = ConfigDict(extra="forbid")

    stage: str = Field(
        description="a stage, such as features, or distill@general",
        json_schema_extra=lambda schema: schema.update(choices(Path.cwd())),
    )
    downstream: bool = Field(
        default=False, description="then bring everything downstream up to date"
    )


@flow(
    name="rerun-stage",
    flow_run_name="rerun-{options.stage}",
    task_runner=threads(),
    persist_result=False,
)
def rerun(options: Options) -> None:
    """Run one stage even if it is up to date; its inputs are used as they are."""
    with workspace(Path.cwd(), wait=deployment.id is not None) as run:
        name = known_stage(options.stage, run)
        start(run, name, force=True)
        if options.downstream:
            for below in run.downstream(name):
                start(run, below)


def start(run: Run, name: str, *, force: bool = False) -> StageResult:
    """Bring one stage up to date; `name` includes the student."""
    step, _, student = name.partition("@")
    return stage(step)(run, student or None, force=force)


@contextmanager
def checked(name: str) -> Iterator[Run]:
    """Lock the workspace and check that the stage exists before anything starts."""
    with workspace(Path.cwd()) as run:
        known_stage(name, run)
        yield run


def known_stage(name: str, run: Run) -> str:
    """Return `name` if it is a stage.

    Raises:
        UnknownStageError: it is not; the message suggests similar names, or those per student.
    """
    known = [stage for stage in run.stages if stage != FINGERPRINT]
    if name in known:
        return name
    step = nearest(name, list(dict.fromkeys(stage.partition("@")[0] for stage in known)))
    of_students = [stage for stage in known if stage.startswith(f"{step}@")]
    if "@" in name or not of_students:
        raise UnknownStageError(name, known)
    general = f"{step}@{GENERAL}"
    near = general if general in of_students else of_students[0]
    raise UnknownStageError(name, of_students, near)


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = Parser(prog="python -m flows.rerun", description=ABOUT)
    parser.add_argument(
        "stage", metavar="STAGE[@STUDENT]", help="such as features, or distill@general"
    )
    parser.add_argument(
        "--downstream", action="store_true", help="then bring everything downstream up to date"
    )
    given = parser.parse_args(arguments)
    with temporary_server(meanwhile=checked(given.stage)):
        rerun(Options(stage=given.stage, downstream=given.downstream))
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))
