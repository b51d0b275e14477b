"""Stages run when they are stale, and only then; failures say why."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from decant.release.s3 import S3Store
from tasks.runner.dvc_stages import Run, StageError, WorkspaceError, look

ORDER = ["raw", "ingest", "names", "distill@general", "distill@women", "distill@men", "evaluate"]


def silent(_: str) -> None:
    """Take a log line and drop it."""


def bring_up_to_date(root: Path) -> dict[str, str]:
    run = look(root)
    return {name: run.perform(name, silent).status for name in ORDER}


def until(condition: Callable[[], Any]) -> Any:
    for _ in range(1200):
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_a_fresh_project_runs_every_stage_and_a_second_run_none(project: Any) -> None:
    assert set(bring_up_to_date(project.root).values()) == {"ran"}
    assert project.started() == ORDER[1:]
    assert set(bring_up_to_date(project.root).values()) == {"skipped"}
    assert project.started() == []


def test_an_edited_log_reruns_what_depends_on_it_and_nothing_else(finished: Any) -> None:
    finished.add_row()
    statuses = bring_up_to_date(finished.root)
    assert statuses["raw"] == "accepted"
    assert statuses["names"] == "skipped"
    assert finished.started() == [name for name in ORDER if name not in ("raw", "names")]
    assert "one more" in (finished.root / "data/raw/demo/log.csv").read_text()


def test_another_setting_of_the_logs_runs_their_stage(finished: Any) -> None:
    params = finished.root / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: 2"))
    assert bring_up_to_date(finished.root)["raw"] == "ran"


def test_undoing_an_edit_restores_outputs_without_running(finished: Any) -> None:
    before = (finished.root / "data/evaluation/out.txt").read_text()
    finished.add_row()
    run = look(finished.root)
    assert [run.perform(name, silent).status for name in ORDER[:2]] == ["accepted", "ran"]
    finished.started()
    (finished.root / "data/raw/demo/log.csv").write_text("")
    assert bring_up_to_date(finished.root)["ingest"] == "restored"
    assert finished.started() == []
    assert (finished.root / "data/evaluation/out.txt").read_text() == before


def test_downstream_is_looked_at_again_but_not_started_when_nothing_changed(finished: Any) -> None:
    run = look(finished.root)
    assert run.perform("ingest", silent, force=True).status == "ran"
    assert run.perform("distill@men", silent).status == "skipped"
    assert run.perform("evaluate", silent).status == "skipped"
    assert finished.started() == ["ingest"]


def test_forcing_one_stage_runs_exactly_that_one(finished: Any) -> None:
    assert look(finished.root).perform("distill@women", silent, force=True).status == "ran"
    assert finished.started() == ["distill@women"]


def test_the_graph_knows_what_lies_above_and_below(project: Any) -> None:
    run = look(project.root)
    assert run.upstream("distill@men") == ["ingest"]
    assert set(run.upstream("evaluate")) == {
        "names", "distill@general", "distill@women", "distill@men",
    }  # fmt: skip
    below = run.downstream("ingest")
    assert below[-1] == "evaluate"
    assert set(below[:-1]) == {"distill@general", "distill@women", "distill@men"}


def test_a_stage_says_why_it_is_looked_at(project: Any) -> None:
    def said(stage: str) -> str:
        lines: list[str] = []
        run.perform(stage, lines.append)
        return lines[0]

    run = look(project.root)
    assert said("raw") == "never run"
    assert said("ingest") == "never run"
    bring_up_to_date(project.root)
    project.add_row()
    run = look(project.root)
    run.perform("raw", silent)
    assert said("ingest") == "stale: data/raw/demo modified"
    assert said("distill@men") == "checking, since ingest ran"
    assert said("names") == "up to date"


def test_a_failing_stage_says_its_own_error_line(project: Any) -> None:
    project.order("ingest", "fail")
    run = look(project.root)
    run.perform("raw", silent)
    with pytest.raises(StageError, match=r"^ingest: users\.csv:3: age -4 is impossible$"):
        run.perform("ingest", silent)


def test_a_crashing_stage_names_the_exception(project: Any) -> None:
    project.order("ingest", "crash")
    run = look(project.root)
    run.perform("raw", silent)
    with pytest.raises(StageError, match="^ingest: ZeroDivisionError: nothing to divide by$"):
        run.perform("ingest", silent)


def test_a_killed_stage_leaves_nothing_behind_and_the_next_run_finishes(project: Any) -> None:
    waiting = project.order("ingest", "wait")
    run = look(project.root)
    run.perform("raw", silent)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run.perform, "ingest", silent)
        mark = waiting.parent / "waiting-ingest"
        os.kill(int(until(lambda: mark.exists() and mark.read_text())), signal.SIGKILL)
        with pytest.raises(StageError, match="^ingest: .*killed by SIGKILL$"):
            future.result()
    waiting.unlink()
    project.started()
    run = look(project.root)
    assert run.perform("ingest", silent).status == "ran"
    assert project.started() == ["ingest"]


def test_closing_a_run_kills_what_still_runs(project: Any) -> None:
    waiting = project.order("ingest", "wait")
    run = look(project.root)
    run.perform("raw", silent)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run.perform, "ingest", silent)
        mark = waiting.parent / "waiting-ingest"
        pid = int(until(lambda: mark.exists() and mark.read_text()))
        run.close()
        with pytest.raises(StageError):
            future.result()
    until(lambda: not Path(f"/proc/{pid}").exists())
    with pytest.raises(StageError, match="the run has ended"):
        run.perform("ingest", silent)


def test_students_run_at_the_same_time(project: Any) -> None:
    run = look(project.root)
    run.perform("raw", silent)
    run.perform("ingest", silent)
    orders = [project.order(f"distill@{name}", "wait") for name in ("women", "men")]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run.perform, f"distill@{n}", silent) for n in ("women", "men")]
        marks = [order.with_name("waiting-" + order.name) for order in orders]
        until(lambda: all(mark.exists() for mark in marks))
        for order in orders:
            order.unlink()
        assert [future.result().status for future in futures] == ["ran", "ran"]


def test_results_carry_figures_and_paths(project: Any) -> None:
    run = look(project.root)
    run.perform("raw", silent)
    result = run.perform("ingest", silent)
    assert result.summary == {"inputs": 1}
    assert result.outputs == (project.root / "data/ingested",)


def test_the_log_of_a_stage_is_passed_on_without_dvcs_chatter(project: Any) -> None:
    said: list[str] = []
    run = look(project.root)
    run.perform("raw", silent)
    run.perform("ingest", said.append)
    assert "made data/ingested" in said
    assert not [line for line in said if line.startswith((">", "Updating", "Use `dvc"))]


def test_a_broken_graph_is_one_line(project: Any) -> None:
    (project.root / "dvc.yaml").write_text("stages: {raw: {cmd: ls, outs: ['${nowhere}']}}")
    with pytest.raises(WorkspaceError) as error:
        look(project.root)
    assert "nowhere" in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_dvc_that_cannot_be_used_is_named_with_what_to_do(project: Any) -> None:
    (project.root / ".dvc/tmp/lock").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match=r"^\.dvc/tmp/lock cannot be used .*: move it away$"):
        look(project.root)


def test_without_a_remote_nothing_is_pushed(finished: Any) -> None:
    said: list[str] = []
    look(finished.root).push(said.append)
    assert said == ["no DVC remote is set: the data stays in this folder's cache"]


def test_another_folder_has_the_data_from_the_bucket_that_holds_the_releases(
    finished: Any, s3_endpoint: str, aws: None
) -> None:
    use_bucket(finished, "releases", s3_endpoint)
    registry = S3Store("releases", "decant", s3_endpoint)
    registry.write_new("pushed-beside", b"a release")
    look(finished.root).push(silent)
    made = (finished.root / "data/evaluation/out.txt").read_text()
    for folder in ("data", ".dvc/cache"):
        shutil.rmtree(finished.root / folder)
    pulled = finished.python("-m", "dvc", "pull", "--quiet")
    assert pulled.returncode == 0, pulled.stderr
    assert (finished.root / "data/evaluation/out.txt").read_text() == made
    assert registry.list("") == ["pushed-beside"]


def test_a_remote_that_cannot_be_written_to_fails_in_one_line(
    finished: Any, s3_endpoint: str, aws: None
) -> None:
    use_bucket(finished, "no-such-bucket", s3_endpoint)
    with pytest.raises(StageError, match=r"^push: [^\n]+$"):
        look(finished.root).push(silent)


def use_bucket(project: Any, bucket: str, endpoint: str) -> None:
    for words in (
        ("add", "--default", "store", f"s3://{bucket}/dvc"),
        ("modify", "store", "endpointurl", endpoint),
    ):
        assert project.python("-m", "dvc", "remote", *words).returncode == 0


def test_a_run_has_no_upstream_beyond_the_graph() -> None:
    stages = {"a": {"deps": [], "outs": ["data/a"]}, "b": {"deps": ["data/a/x"], "outs": []}}
    run = Run(Path(), {"stages": stages, "stale": {}})
    assert run.upstream("b") == ["a"] and run.reason("b") is None
