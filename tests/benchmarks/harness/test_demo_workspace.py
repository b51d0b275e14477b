"""The small shop fits the project's settings; which stages had to run is read from dvc.lock."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import (
    CHANGES,
    ShopError,
    change_params,
    change_text,
    downstream,
    with_other_inputs,
)
from benchmarks.system.reruns import FUNCTION, PRUNE, RULE, add_purchase, reverted
from decant.params.load import load_params

REPOSITORY = Path(__file__).resolve().parents[3]


def stage(deps: dict[str, str], outs: list[str], **settings: Any) -> dict[str, Any]:
    return {
        "cmd": "exec python",
        "deps": [{"path": path, "md5": md5} for path, md5 in deps.items()],
        "outs": [{"path": path} for path in outs],
        "params": {"params.yaml": settings},
    }


LOCK = {
    "raw": stage({}, ["data/raw/demo"]),
    "features": stage({"data/raw/demo": "1"}, ["data/features"]),
    "embed": stage({"data/features/items.parquet": "2"}, ["data/vectors"]),
    "distill@a": stage({"data/vectors": "3"}, ["data/models/a"], epochs=1),
    "evaluate": stage({"data/models": "4"}, ["data/evaluation"]),
    "apart": stage({"data/featuresque": "5"}, ["data/apart"]),
}


def test_what_follows_a_stage_reads_in_or_around_what_it_makes() -> None:
    assert downstream(LOCK, "raw") == {"features", "embed", "distill@a", "evaluate"}
    assert downstream(LOCK, "distill@a") == {"evaluate"}
    assert downstream(LOCK, "evaluate") == set()


def test_a_stage_has_other_inputs_when_a_dependency_or_a_setting_changed() -> None:
    after = {
        **LOCK,
        "embed": stage({"data/features/items.parquet": "other"}, ["data/vectors"]),
        "distill@a": stage({"data/vectors": "3"}, ["data/models/a"], epochs=2),
        "features": stage({"data/raw/demo": "1"}, ["data/features", "data/more"]),
    }
    assert with_other_inputs(LOCK, after) == {"embed", "distill@a"}
    assert with_other_inputs({}, LOCK) == set(LOCK)


@pytest.fixture
def project(tmp_path: Path) -> Clone:
    """The settings and the code that the benchmarks change."""
    for name in ("params.yaml", PRUNE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return Clone(tmp_path)


def test_the_small_shops_settings_are_valid_and_leave_the_others_alone(project: Clone) -> None:
    before = load_params(project.root / "params.yaml")
    change_params(project, CHANGES)
    after = load_params(project.root / "params.yaml")
    assert after.raw.users == CHANGES["raw"]["users"]
    assert after.students == before.students


def test_the_pieces_that_reruns_changes_are_there_once(project: Clone) -> None:
    change_text(project.root / PRUNE, *FUNCTION)
    change_text(project.root / "params.yaml", *RULE)
    with pytest.raises(ShopError, match="found it 0 times"):
        change_text(project.root / PRUNE, *FUNCTION)
    load_params(project.root / "params.yaml")


def test_changes_are_taken_back_after_the_block(project: Clone) -> None:
    before = (project.root / PRUNE).read_bytes()
    with reverted(project, PRUNE):
        change_text(project.root / PRUNE, *FUNCTION)
    assert (project.root / PRUNE).read_bytes() == before


def test_a_purchase_is_added_as_one_line(tmp_path: Path) -> None:
    path = tmp_path / "purchases.csv"
    path.write_text("user,item,time\nu1,i1,1\nu2,i2,2\nu3,i3,3\n")
    add_purchase(path)
    assert path.read_text().splitlines()[3:] == ["u3,i3,3", "u3,i1,3"]
