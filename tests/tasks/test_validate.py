import json
from typing import Any

import pandas as pd
import pytest

from decant.data import privacy
from decant.params.load import parse_params
from tasks import ingest, validate
from tasks.runner.step import Workspace, run_step

START = 1_700_000_000


def log(good: int, *bad: str) -> str:
    rows = [f"u{i % 5},i{i % 4},{START + i}" for i in range(good)]
    return "\n".join(["user,item,time", *rows, *bad]) + "\n"


def workspace(root, text: str, **limits: Any) -> Workspace:
    raw = root / "data" / "raw" / "files"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "events.csv").write_text(text)
    (raw / "users.csv").write_text("user,age\nu0,30\nu1,999\n")
    settings = {"time": "time", "users": "users.csv"}
    params = {"source": "files", "ingest": settings, "validate": {"min_events": 10, **limits}}
    made = Workspace(root, parse_params(params))
    run_step(ingest.run, made)
    return Workspace(root, made.params)


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(privacy.VARIABLE, "k" * 16)


def test_good_rows_and_bad_rows_lie_apart_and_all_are_counted(tmp_path) -> None:
    place = workspace(tmp_path, log(40, ",i1,1700000001", "u1,i1,soon", f"u0,i0,{START}"))
    summary = run_step(validate.run, place, validate.describe)
    data = tmp_path / "data"
    assert len(pd.read_parquet(data / "validated" / "events.parquet")) == 40
    bad = pd.read_parquet(data / "quarantine" / "events.parquet")
    assert dict(zip(bad["row"], bad["reason"], strict=True)) == {
        42: "no user",
        43: "no readable time",
    }
    cells = pd.read_parquet(data / "quarantine" / "cells.parquet")
    assert cells["value"].tolist() == ["soon"]
    account = summary["events"]["logs"]["events"]
    assert [account[k] for k in ("rows_in", "accepted", "quarantined", "duplicates")] == [
        43,
        40,
        2,
        1,
    ]
    assert json.loads((data / "validated" / "summary.json").read_text()) == summary


def test_an_impossible_age_is_missing_afterwards(tmp_path) -> None:
    run_step(validate.run, workspace(tmp_path, log(40)))
    users = pd.read_parquet(tmp_path / "data" / "validated" / "users.parquet")
    assert list(users) == ["user", "age"]
    assert users["age"].isna().tolist() == [False, True]


def test_the_description_shows_the_account_and_the_reasons(tmp_path) -> None:
    page = validate.describe(run_step(validate.run, workspace(tmp_path, log(40, "u1,i1,soon"))))
    assert "**Accepted 40 events** of 5 users on 4 items" in page
    assert "| log events | 41 | 40 | 1 | 0 |" in page
    assert "| log events | no readable time | 1 |" in page
    assert "| table users | impossible age | 1 |" in page
    assert "| cells | unreadable events.time | 1 |" in page


@pytest.mark.parametrize(
    ("text", "limits", "problem"),
    [
        (
            log(40, *["u1,,5"] * 10),
            {},
            r"20\.00% of the rows of all logs are bad.*first events\.csv:42",
        ),
        (log(0, "u1,i1,soon", ",i1,5"), {}, "all 2 rows of the log `events` are invalid"),
        (log(5), {}, "5 events after validation, validate.min_events requires 10"),
        (log(40), {"min_users": 6}, "5 users after validation"),
        (log(40), {"min_items": 5}, "4 items after validation"),
    ],
)
def test_a_log_that_is_not_fit_stops_the_run(
    tmp_path, text: str, limits: dict[str, int], problem: str
) -> None:
    with pytest.raises(validate.DataRejectedError, match=problem):
        run_step(validate.run, workspace(tmp_path, text, **limits))
    assert not (tmp_path / "data" / "validated").exists()


def test_bad_rows_are_pointed_at_only_where_there_are_some(tmp_path) -> None:
    with pytest.raises(validate.DataRejectedError) as none:
        run_step(validate.run, workspace(tmp_path, log(1)))
    assert str(none.value) == "1 event after validation, validate.min_events requires 10"
    with pytest.raises(validate.DataRejectedError) as some:
        run_step(validate.run, workspace(tmp_path, log(5, ",i1,5"), max_quarantined=1))
    assert str(some.value).endswith(
        "; 1 quarantined row with the reason: .decant/quarantine/events.csv"
    )


def test_the_bad_rows_of_a_failed_run_are_kept_until_a_run_succeeds(tmp_path) -> None:
    kept = tmp_path / validate.KEPT
    with pytest.raises(validate.DataRejectedError, match=r"\.decant/quarantine/events\.csv"):
        run_step(validate.run, workspace(tmp_path, log(40, *["u1,,5"] * 10)))
    bad = pd.read_csv(kept / "events.csv")
    assert bad["reason"].tolist() == ["no item"] * 10
    assert bad["row"].tolist() == list(range(42, 52))
    run_step(validate.run, workspace(tmp_path, log(40)))
    assert not kept.exists()


def test_a_raised_limit_lets_the_log_through(tmp_path) -> None:
    place = workspace(tmp_path, log(40, *["u1,,5"] * 10), max_quarantined=0.2)
    assert run_step(validate.run, place)["bad_share"] == 0.2
    assert not (tmp_path / validate.KEPT).exists()


def test_rows_of_users_in_quarantine_are_told_too(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path, log(40))
    run_step(validate.run, place)
    assert "rows of users" not in capsys.readouterr().out
    (tmp_path / "data/raw/files/users.csv").write_text("user,age\nu0,30\nu1,31\n,5\n")
    run_step(ingest.run, Workspace(tmp_path, place.params))
    run_step(validate.run, Workspace(tmp_path, place.params))
    message = (
        "3 rows of users: 2 accepted, 1 in data/quarantine, 0 duplicates\n"
        "in quarantine of users: no user: 1 (first users.csv:4)\n"
    )
    assert message in capsys.readouterr().out


def test_a_row_in_quarantine_is_shown_with_its_reason_and_place(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_step(validate.run, workspace(tmp_path, log(40, "u1,i1,soon")))
    message = capsys.readouterr().out
    assert (
        "in quarantine of events: no readable time: 1 (first events.csv:42 `soon`); times"
        in message
    )
    assert "1 unreadable cell of events.time\n" in message


def test_the_same_tables_give_the_same_bytes(tmp_path) -> None:
    place = workspace(tmp_path, log(40, "u1,i1,soon"))
    seen = []
    for _ in range(2):
        run_step(validate.run, place, validate.describe)
        folders = (tmp_path / "data" / "validated", tmp_path / "data" / "quarantine")
        seen.append({p.name: p.read_bytes() for folder in folders for p in folder.iterdir()})
    assert seen[0] == seen[1]


def test_the_account_of_the_rows_is_one_line() -> None:
    counts = {"rows_in": 12345, "accepted": 12000, "quarantined": 300, "duplicates": 45}
    assert validate.account("events", counts) == (
        "12,345 rows of events: 12,000 accepted, 300 in data/quarantine, 45 duplicates"
    )


def test_what_ingest_decided_stands_in_the_summary(tmp_path) -> None:
    summary = run_step(validate.run, workspace(tmp_path, log(40)), validate.describe)
    form = (
        "40 times in events.csv read as seconds since 1970: `1700000000` is 2023-11-14 22:13:20 UTC"
    )
    assert summary["notes"] == [form]
    assert f"{form}." in validate.describe(summary)


def test_values_that_are_left_out_are_told(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    run_step(validate.run, workspace(tmp_path, log(40, "u1,i1,soon")))
    message = capsys.readouterr().out
    assert "1 value of users left out: impossible age" in message
    assert "1 unreadable cell of events.time" in message


ITEMS = "item,title\ni0,hat\ni1,pan\ni2,rod\n"


@pytest.mark.parametrize(("setting", "accepted"), [("quarantine", 30), ("keep", 40)])
def test_items_that_the_table_lacks_are_counted_and_stay_where_that_is_set(
    tmp_path, setting: str, accepted: int, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path, log(40), unknown_items=setting, max_quarantined=0.5)
    (tmp_path / "data/raw/files/items.csv").write_text(ITEMS)
    settings = place.params.model_dump(by_alias=True)
    settings["ingest"]["items"] = "items.csv"
    params = parse_params(settings)
    run_step(ingest.run, Workspace(tmp_path, params))
    capsys.readouterr()
    assert run_step(validate.run, Workspace(tmp_path, params))["left"]["events"] == accepted
    message = "1 item of the events is not in the table of items" in capsys.readouterr().out
    assert message is (setting == "keep")


def test_a_log_that_lost_a_third_since_the_last_accepted_run_stops(tmp_path) -> None:
    run_step(validate.run, workspace(tmp_path, log(90)))
    with pytest.raises(validate.DataRejectedError) as stopped:
        run_step(validate.run, workspace(tmp_path, log(60)))
    assert "the log `events`: 60 rows, 90 in the last accepted run (-33.3%)" in str(stopped.value)
    assert "remove .decant/accepted/files.json" in str(stopped.value)
    run_step(validate.run, workspace(tmp_path, log(60), max_drop=0.4))
    run_step(validate.run, workspace(tmp_path, log(60)))  # that was accepted, so it counts


def test_a_drop_that_is_meant_is_let_through_without_the_note(tmp_path) -> None:
    run_step(validate.run, workspace(tmp_path, log(90)))
    (tmp_path / ".decant/accepted/files.json").unlink()
    run_step(validate.run, workspace(tmp_path, log(60)))


def test_a_note_of_another_layout_or_a_damaged_one_compares_nothing(tmp_path) -> None:
    note = tmp_path / ".decant/accepted/files.json"
    for content in ('{"key": "other", "rows": {"the log `events`": 900}}', "{", "[]", '{"key": 1}'):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(content)
        run_step(validate.run, workspace(tmp_path, log(60)))
