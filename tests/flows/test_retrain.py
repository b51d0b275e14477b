"""The retrain flow's form, its command line and its fan-out."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow
from pydantic import ValidationError

from decant.commands.releases import CHANNELS
from decant.lock import BusyError
from flows.console import print_error, run_cli
from flows.retrain import (
    Channel,
    NotReleasableError,
    Options,
    PersonNeededError,
    each,
    main,
    retrain,
)
from flows.workspace import threads
from tasks.runner.dvc_stages import StageError, look
from tasks.runner.prefect_task import stage

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_form_offers_channels_by_name() -> None:
    schema = retrain.parameters.model_dump()
    channel = schema["definitions"]["Channel"]
    assert channel["enum"] == ["production", "canary"]
    assert schema["definitions"]["Options"]["properties"]["promote"]["default"] is True


def test_the_form_and_the_commands_know_the_same_channels() -> None:
    assert tuple(channel.value for channel in Channel) == CHANNELS


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError):
        Options.model_validate({"promot": False})
    with pytest.raises(ValidationError):
        Options.model_validate({"channel": "prod"})
    assert Options().channel is Channel.production


def test_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    assert "--no-promote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StageError("ingest", "no rows"), 1),
        (NotReleasableError("ab12", ("recall is missing",)), 1),
        (PersonNeededError("ab12", "production is damaged"), 1),
        (BusyError(12, "noon"), 2),
        (ValueError("wrong\nsetting"), 2),
        (httpx.ConnectError("refused"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_are_one_line_and_a_status(
    error: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    assert run_cli(command) == status
    said = capsys.readouterr().err
    assert said.startswith("decant: error: ")
    assert said.count("\n") == 1


def test_a_terminal_of_ascii_gets_an_outcome_too() -> None:
    code = "from flows.console import run_cli\nrun_cli(lambda: print('a → b') or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "a ? b\n", done.stderr


def test_complaints_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(ValueError("x"), 2) == 2
    assert capsys.readouterr().out == ""


def test_students_fan_out_and_all_end_before_one_fails(finished: Any, prefect_server: None) -> None:
    finished.add_row()
    finished.order("distill@women", "fail")
    distill, statuses = stage("distill"), {}

    @flow(task_runner=threads())
    def fan_out() -> None:
        run = look(finished.root)
        for step in (stage("raw"), stage("ingest")):
            step(run)
        try:
            each(distill, run, ["general", "women", "men"])
        finally:
            statuses.update({name: result.status for name, result in run.results.items()})

    with pytest.raises(StageError, match=r"^distill@women: users\.csv:3"):
        fan_out()
    assert statuses == {
        "raw": "accepted", "ingest": "ran", "distill@general": "ran", "distill@men": "ran",
    }  # fmt: skip
