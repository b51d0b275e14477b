"""The demo shop is generated, and edits are never lost."""

from pathlib import Path

import pytest

from decant.data.sources.layout import MissingFilesError
from decant.params.data import Raw
from decant.params.load import parse_params
from tasks.raw import EditedShopError, prepare_demo, run
from tasks.runner.step import Workspace

SMALL = Raw(users=20, items=40, steps=5)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "data/raw/demo"
    assert "generated" in prepare_demo(folder, SMALL)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_shop_is_the_same_each_time(shop: Path) -> None:
    before = contents(shop)
    prepare_demo(shop, SMALL)
    assert contents(shop) == before


def test_other_settings_make_another_shop(shop: Path) -> None:
    before = contents(shop)
    prepare_demo(shop, SMALL.model_copy(update={"seed": 2}))
    assert contents(shop)["views.csv"] != before["views.csv"]


def test_an_added_line_is_kept(shop: Path) -> None:
    with (shop / "purchases.csv").open("a") as file:
        file.write("u0000001,i000001,2026-03-02T00:00:00Z\n")
    before = contents(shop)
    assert prepare_demo(shop, SMALL) == {"source": "demo", "edited": ["purchases.csv"]}
    assert contents(shop) == before


def test_edits_and_other_settings_together_are_refused(shop: Path) -> None:
    (shop / "users.csv").write_text("user,age,gender,region\n")
    with pytest.raises(EditedShopError, match=r"users\.csv in .* was edited"):
        prepare_demo(shop, SMALL.model_copy(update={"seed": 2}))


def test_files_that_somebody_else_put_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user,item,time\n")
    assert prepare_demo(tmp_path, SMALL) == {"source": "demo", "kept": ["views.csv"]}


def test_another_source_is_only_looked_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, parse_params({"source": "movielens-100k"}))
    with pytest.raises(MissingFilesError, match="movielens-100k"):
        run(workspace)
    folder = tmp_path / "data/raw/movielens-100k"
    folder.mkdir(parents=True)
    for name in ("u.data", "u.user", "u.item", "u.genre"):
        (folder / name).touch()
    assert run(workspace) == {"source": "movielens-100k", "files": 4}
