"""The flow of a search: its form, its command line, what it brings up to date first."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from decant.params.load import Params, ParamsError, parse_params
from flows.console import run_cli
from flows.tune import Options, main, with_options
from flows.tune import tune as tune_flow
from tasks.tune import SearchSummary

SPACE = "tune: {trials: 20, space: {dropout: {low: 0.0, high: 0.5}}}\n"
SUMMARY = SearchSummary("a table", "trial 3 is better", "-a\n+b\n", Path(".decant/tuning/x"), False)


def test_the_form_has_each_option() -> None:
    schema = tune_flow.parameters.model_dump()["definitions"]["Options"]
    assert set(schema["properties"]) == {"apply", "trials", "workers"}
    assert schema["properties"]["apply"]["default"] is False
    for wrong in ({"aply": True}, {"trials": 0}, {"workers": -1}):
        with pytest.raises(ValidationError):
            Options.model_validate(wrong)


def test_an_option_takes_the_place_of_its_setting() -> None:
    params = parse_params({"tune": {"trials": 20, "workers": 2}})
    tune = with_options(params, Options(trials=3)).tune
    assert (tune.trials, tune.workers) == (3, 2)
    assert with_options(params, Options()) == params


def test_help_names_the_options_and_trial_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    output = capsys.readouterr().out
    assert "--apply" in output and "--trials" in output
    assert "trial 0" in " ".join(output.split())


@pytest.mark.parametrize("option", ["--trials=0", "--trials=many", "--workers=-2", "--folds=2"])
def test_a_wrong_option_is_one_line(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(lambda: main([option])) == 2
    output = capsys.readouterr().err
    assert output.startswith("decant: error: ") and output.count("\n") == 1


def test_nothing_runs_where_there_is_nothing_to_search(
    finished: Any, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.root)
    finished.add_row()
    with pytest.raises(ParamsError, match="tune.space"):
        tune_flow(Options())
    assert finished.started() == []


def test_stages_before_it_are_brought_up_to_date_and_the_summary_is_shown(
    finished: Any, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.root)
    path = finished.root / "params.yaml"
    path.write_text(path.read_text() + SPACE)
    finished.add_row()
    searches: list[tuple[Params, bool]] = []

    def search(root: Path, params: Params, log: Any, *, apply: bool) -> SearchSummary:
        searches.append((params, apply))
        return SUMMARY

    monkeypatch.setattr("flows.tune.BEFORE", ("raw", "ingest"))
    monkeypatch.setattr("tasks.tune.tune", search)
    assert tune_flow(Options(trials=3, apply=True)) == SUMMARY
    assert finished.started() == ["ingest"]
    assert [(params.tune.trials, apply) for params, apply in searches] == [(3, True)]
    with get_client(sync_client=True) as client:
        page = max(client.read_artifacts(), key=lambda a: (a.key == "tune", a.updated))
    assert page.key == "tune" and "-a\n+b" in page.data and "a table" in page.data


def test_the_summary_says_where_to_look_and_whether_params_yaml_changed() -> None:
    lines = str(SUMMARY).splitlines()
    assert lines[:2] == ["a table", "trial 3 is better"]
    assert "trials   .decant/tuning/x/ (trials.json, params.diff)" in lines
    assert lines[-1] == "params.yaml: unchanged; `--apply` writes the change"
    nothing = SearchSummary("a table", "nothing changes", "", SUMMARY.folder, False)
    assert str(nothing).splitlines()[-1] == "trials   .decant/tuning/x/ (trials.json)"
