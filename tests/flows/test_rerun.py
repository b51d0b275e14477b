"""One stage is run again: exactly that one, or with what lies below it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.rerun import UnknownStageError, choices, known_stage, main
from flows.rerun import rerun as rerun_flow
from tasks.runner.dvc_stages import look

REPOSITORY = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}


def rerun(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.rerun", *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_reruns_one_stage_without_a_server(finished: Any) -> None:
    done = rerun(finished.root, "distill@women")
    assert done.returncode == 0, done.stderr
    assert finished.started() == ["distill@women"]
    assert "made data/models/women" in done.stderr
    assert not (finished.root / ".decant/run.lock").read_text()


def test_a_failing_stage_ends_the_command_with_its_reason(finished: Any) -> None:
    finished.order("ingest", "fail")
    done = rerun(finished.root, "ingest", "--downstream")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "decant: error: ingest: users.csv:3: age -4 is impossible"
    )
    assert "Traceback" not in done.stderr
    lines = [line[len("00:00:00 ") :] for line in done.stderr.splitlines()[:-1]]
    assert lines == [
        "ingest: forced",
        "ingest: Running stage 'ingest':",
        "ingest: warning: not this one",
        "ingest: error: users.csv:3: age -4 is impossible",
    ]
    assert finished.started() == ["ingest"]


def test_a_misspelt_stage_names_the_nearest(project: Any) -> None:
    run = look(project.root)
    assert known_stage("ingest", run) == "ingest"
    with pytest.raises(UnknownStageError, match=r"no stage `ingst`; did you mean `ingest`"):
        known_stage("ingst", run)
    with pytest.raises(UnknownStageError) as error:
        known_stage("distill", run)
    assert error.value.known == ["distill@general", "distill@women", "distill@men"]
    for name in ("distill", "distil"):
        with pytest.raises(UnknownStageError, match=r"did you mean `\w+@general`\? stages: "):
            known_stage(name, run)
    with pytest.raises(UnknownStageError, match=r"did you mean `distill@women`\?$"):
        known_stage("distil@wome", run)
    with pytest.raises(UnknownStageError, match="stages: raw, ingest"):
        known_stage("xyz", run)


def test_the_form_offers_every_stage_that_can_be_rerun() -> None:
    offered = choices(REPOSITORY)["enum"]
    assert {"raw", "ingest", "teacher", "distill@general", "compress@women_under_35"} <= {*offered}
    assert not {"fingerprint", "distill"} & {*offered}
    options = rerun_flow.parameters.model_dump()["definitions"]["Options"]
    assert "enum" in options["properties"]["stage"]


def test_without_a_graph_or_with_wrong_settings_the_form_takes_any_text(tmp_path: Path) -> None:
    assert choices(tmp_path) == {}
    (tmp_path / "dvc.yaml").write_text("stages: {raw: {cmd: x}}")
    (tmp_path / "params.yaml").write_text("teecher: {}")
    assert choices(tmp_path) == {}
    (tmp_path / "params.yaml").write_text("{}")
    assert choices(tmp_path) == {"enum": ["raw"]}
    (tmp_path / "dvc.yaml").write_text("stages: [")
    assert choices(tmp_path) == {}


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--downstream" in capsys.readouterr().out


def test_killing_the_command_leaves_no_process_behind(finished: Any) -> None:
    waiting = finished.order("ingest", "wait")
    mark = waiting.parent / "waiting-ingest"
    command = subprocess.Popen(
        [sys.executable, "-m", "flows.rerun", "ingest"],
        cwd=finished.root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not mark.exists() and command.poll() is None:
        time.sleep(0.1)
    family = psutil.Process(command.pid).children(recursive=True)
    assert len(family) >= 3  # the temporary server, DVC, the step's program
    command.kill()
    command.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    waiting.unlink()
    finished.started()
    assert look(finished.root).perform("ingest", print).status == "restored"
    assert look(finished.root).reason("ingest") is None
    assert finished.started() == []
