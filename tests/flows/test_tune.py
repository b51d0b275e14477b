"""The flow of a search: its form, its command line, what it brings up to date first."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from pydantic import ValidationError

from decant.params.load import Params, ParamsError, parse_params
from flows.console import guarded
from flows.tune import Options, asked, main
from flows.tune import tune as tune_flow
from tasks.tune import Outcome

SPACE = "tune: {trials: 20, space: {dropout: {low: 0.0, high: 0.5}}}\n"
FOUND = Outcome("a table", "trial 3 is better", "-a\n+b\n", Path(".decant/tuning/x"), False)


def test_the_form_has_what_may_be_asked_for() -> None:
    schema = tune_flow.parameters.model_dump()["definitions"]["Options"]
    assert set(schema["properties"]) == {"apply", "trials", "workers"}
    assert schema["properties"]["apply"]["default"] is False
    for wrong in ({"aply": True}, {"trials": 0}, {"workers": -1}):
        with pytest.raises(ValidationError):
            Options.model_validate(wrong)


def test_what_is_asked_for_takes_the_place_of_the_settings() -> None:
    params = parse_params({"tune": {"trials": 20, "workers": 2}})
    told = asked(params, Options(trials=3)).tune
    assert (told.trials, told.workers) == (3, 2)
    assert asked(params, Options()) == params


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert "--apply" in said and "--trials" in said and "trial 0" in said


@pytest.mark.parametrize("given", ["--trials=0", "--trials=many", "--workers=-2", "--folds=2"])
def test_a_wrong_option_is_one_line(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: main([given])) == 2
    said = capsys.readouterr().err
    assert said.startswith("decant: error: ") and said.count("\n") == 1


def test_nothing_runs_where_there_is_nothing_to_search(
    finished: Any, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.root)
    finished.add_row()
    with pytest.raises(ParamsError, match="tune.space"):
        tune_flow(Options())
    assert finished.started() == []


def test_stages_before_it_are_brought_up_to_date_and_the_outcome_is_shown(
    finished: Any, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.root)
    path = finished.root / "params.yaml"
    path.write_text(path.read_text() + SPACE)
    finished.add_row()
    given: list[tuple[Params, bool]] = []

    def search(root: Path, params: Params, log: Any, *, apply: bool) -> Outcome:
        given.append((params, apply))
        return FOUND

    monkeypatch.setattr("flows.tune.BEFORE", ("raw", "ingest"))
    monkeypatch.setattr("tasks.tune.tune", search)
    assert tune_flow(Options(trials=3, apply=True)) == FOUND
    assert finished.started() == ["ingest"]
    assert [(params.tune.trials, apply) for params, apply in given] == [(3, True)]
    with get_client(sync_client=True) as client:
        page = max(client.read_artifacts(), key=lambda a: (a.key == "tune", a.updated))
    assert page.key == "tune" and "-a\n+b" in page.data and "a table" in page.data


def test_the_outcome_says_where_to_look_and_what_became_of_the_settings() -> None:
    lines = str(FOUND).splitlines()
    assert lines[:2] == ["a table", "trial 3 is better"]
    assert "trials   .decant/tuning/x/ (trials.json, params.diff)" in lines
    assert lines[-1] == "params.yaml: as it was; `--apply` writes the change"
    nothing = Outcome("a table", "nothing changes", "", FOUND.folder, False)
    assert str(nothing).splitlines()[-1] == "trials   .decant/tuning/x/ (trials.json)"
