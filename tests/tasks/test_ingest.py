import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from decant.data import privacy
from decant.data.tables import EVENT_COLUMNS
from decant.params.load import parse_params
from tasks import ingest
from tasks.runner.step import Workspace, run_step

EVENTS = "user,item,time\nbob,1,1700000100\nann,2,1700000000\n,1,soon\nbob,2,1700000200\n"
USERS = "user,age\nbob,30\nann,40\n"
ITEMS = "item,title\n1,hat\n2,red pan\n"


@pytest.fixture
def workspace(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv(privacy.VARIABLE, raising=False)
    raw = tmp_path / "data" / "raw" / "files"
    raw.mkdir(parents=True)
    for name, text in {"events": EVENTS, "users": USERS, "items": ITEMS}.items():
        (raw / f"{name}.csv").write_text(text)
    settings = {"time": "time", "users": "users.csv", "items": "items.csv"}
    return Workspace(tmp_path, parse_params({"source": "files", "ingest": settings}))


def table(workspace: Workspace, name: str) -> pd.DataFrame:
    return pd.read_parquet(workspace.root / "data" / "ingested" / f"{name}.parquet")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_users_have_pseudonyms_everywhere_and_raw_ids_are_nowhere(workspace: Workspace) -> None:
    run_step(ingest.run, workspace, ingest.describe)
    key = privacy.load_key(workspace.root)
    ann, bob = privacy.pseudonym("ann", key), privacy.pseudonym("bob", key)
    assert table(workspace, "users")["user"].tolist() == [bob, ann]
    assert table(workspace, "events")["user"].fillna("").tolist() == [ann, bob, bob, ""]
    written = b"".join(contents(workspace.root / "data" / "ingested").values())
    assert b"ann" not in written and b"bob" not in written


def test_the_hash_of_every_raw_file_is_noted(workspace: Workspace) -> None:
    run_step(ingest.run, workspace)
    noted = json.loads((workspace.root / "data" / "ingested" / "raw.json").read_text())
    raw = workspace.root / "data" / "raw" / "files"
    assert noted == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in raw.iterdir()}


def test_events_have_the_columns_of_the_contract_in_order_of_arrival(workspace: Workspace) -> None:
    run_step(ingest.run, workspace)
    events = table(workspace, "events")
    assert tuple(events) == EVENT_COLUMNS
    assert events["order"].tolist() == [0, 1, 2, 3]
    assert events["row"].tolist() == [3, 2, 5, 4]


def test_nothing_is_dropped_and_unreadable_cells_are_listed(workspace: Workspace) -> None:
    summary = run_step(ingest.run, workspace)
    assert summary["rows"] == {"events": 4, "users": 2, "items": 2}
    assert summary["unparsed"] == {"events.time": 1}
    assert table(workspace, "unparsed")["value"].tolist() == ["soon"]
    folder = workspace.root / "data" / "ingested"
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_order_does_not_depend_on_the_key(workspace: Workspace, monkeypatch) -> None:
    orders = []
    for key in ("a" * 16, "b" * 16):
        monkeypatch.setenv(privacy.VARIABLE, key)
        run_step(ingest.run, workspace)
        codes, _ = pd.factorize(table(workspace, "events")["user"])
        orders.append((codes.tolist(), table(workspace, "users")["age"].tolist()))
    assert orders[0] == orders[1]


def test_the_same_logs_and_key_give_the_same_bytes(workspace: Workspace) -> None:
    folder = workspace.root / "data" / "ingested"
    run_step(ingest.run, workspace, ingest.describe)
    first = contents(folder)
    run_step(ingest.run, workspace, ingest.describe)
    assert contents(folder) == first


def test_the_description_is_a_page_of_tables(workspace: Workspace) -> None:
    page = ingest.describe(run_step(ingest.run, workspace))
    assert "**Ingested files**, 4 events with times" in page
    assert "| unreadable events.time | 1 |" in page


def test_how_many_users_and_items_have_a_row_in_their_table_is_told(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.root / "data/raw/files/users.csv").write_text("user,age\nbob,30\neve,40\n")
    page = ingest.describe(run_step(ingest.run, workspace, ingest.describe))
    line = "1 of the 2 users in the events have a row in the table of users"
    assert line in page
    form = (
        "3 times in events.csv read as seconds since 1970: `1700000100` is 2023-11-14 22:15:00 UTC"
    )
    assert f"{form}." in page
    assert capsys.readouterr().out.splitlines() == [
        form,
        line,
        "2 of the 2 items in the events have a row in the table of items",
    ]


def test_logs_that_cannot_be_read_leave_no_output(workspace: Workspace) -> None:
    (workspace.root / "data" / "raw" / "files" / "users.csv").unlink()
    with pytest.raises(ValueError, match=r"no file `users\.csv` \(ingest\.users\)"):
        run_step(ingest.run, workspace)
    assert not (workspace.root / "data" / "ingested").exists()
