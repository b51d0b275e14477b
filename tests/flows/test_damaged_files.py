"""A damaged file of the workspace is done without, or one line says which one to move away.

The files are those of the table in docs/production.md. What a line names really is in the way:
without it, the same command works.
"""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.data import privacy
from decant.lock import locked, only_program
from decant.params.models import Training
from decant.params.search import Tune
from decant.training.checkpoint import Checkpoints
from decant.tuning.report import put
from decant.tuning.space import Plan
from decant.tuning.study import Study, load_cases, save_cases
from flows import home
from flows.workspace import prepare

DOCS = Path(__file__).resolve().parents[2] / "docs" / "production.md"
SEARCH = Path(".decant/tuning/0123")
NAMED = re.compile(r"(\S*\.(?:decant|dvc)/?[^\s:]*)")


def take_lock(root: Path) -> None:
    with locked(root):
        pass


def take_lock_of_program(root: Path) -> None:
    with only_program(root, "gate", patience=0):
        pass


def load_key(root: Path) -> None:
    privacy.load_key(root)


def train(root: Path) -> None:
    saved = Checkpoints(root / ".decant/checkpoints/general")
    saved.read("key")
    saved.write("key", {"weight": torch.zeros(100)}, {"step": 1})


def search(root: Path) -> None:
    study = Study(root / SEARCH)
    plan = Plan(Tune.model_validate({"space": {"dropout": {"choices": [0.1]}}}), Training(), 0)
    study.requeue()
    study.begin(plan)


def compare(root: Path) -> None:
    cases = root / SEARCH / "cases" / "0.npz"
    if not (root / SEARCH).exists():  # the search has started anew
        save_cases(cases, np.arange(100), np.arange(100.0))
    load_cases(cases)


def tell(root: Path) -> None:
    Study(root / SEARCH)
    put(root / SEARCH / "trials.json", '{"trials": []}')


def database(revision: str) -> bytes:
    """A database as Prefect leaves it, in the state of a revision."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE alembic_version (version_num)")
        made.execute("INSERT INTO alembic_version VALUES (?)", [revision])
        made.execute("CREATE TABLE flow (name)")
        made.commit()
        return made.serialize()


def serve(root: Path) -> None:
    trouble = home.trouble(root / ".decant/prefect")
    if trouble is not None:
        raise trouble


USES: dict[str, Callable[[Path], None]] = {
    ".decant/run.lock": take_lock,
    ".decant/locks/gate.lock": take_lock_of_program,
    ".decant/keys/pseudonym": load_key,
    ".decant/checkpoints/general/state.safetensors": train,
    ".decant/tuning/0123/journal.log": search,
    ".decant/tuning/0123/cases/0.npz": compare,
    ".decant/tuning/0123/trials.json": tell,
    ".decant/prefect/prefect.db": serve,
    ".dvc/tmp/rwlock": prepare,
    ".dvc/config.local": prepare,
}
DONE_WITHOUT = {
    ".decant/run.lock": {"empty", "cut", "garbage", "later"},
    ".decant/locks/gate.lock": {"empty", "cut", "garbage", "later"},
    ".decant/checkpoints/general/state.safetensors": {
        "empty", "cut", "garbage", "later", "folder", "link", "no folder",
    },
    ".decant/tuning/0123/journal.log": {"empty", "cut"},
    ".decant/tuning/0123/trials.json": {"empty", "cut", "garbage"},
    ".decant/prefect/prefect.db": {"empty"},
    ".dvc/tmp/rwlock": {"empty", "cut", "garbage", "later", "link"},
    ".dvc/config.local": {"empty", "cut"},
}  # fmt: skip
LATER = {  # what a later version could write there
    ".decant/run.lock": b'{"pid": {"host": 1}, "since": 3}',
    ".decant/locks/gate.lock": b"[1]",
    ".decant/checkpoints/general/state.safetensors": b"\x02\0\0\0\0\0\0\0{}",
    ".decant/tuning/0123/journal.log": b'{"op_code": 99, "worker_id": "x"}\n',
    ".decant/prefect/prefect.db": database("fffffffffff0"),
    ".dvc/tmp/rwlock": b'{"version": 3, "held": []}',
}
KINDS = ("empty", "cut", "garbage", "folder", "link", "no folder", "later")
ALL = [
    (file, kind)
    for file in USES
    for kind in KINDS
    if kind != "later" or file in LATER
    if (file, kind) != (".dvc/config.local", "no folder")  # then there is no project
]


def damage(path: Path, kind: str, file: str) -> None:
    content = path.read_bytes() if path.exists() else b'{"read": {}, "write": {}}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "folder":
        (path / "inside").mkdir(parents=True)
    elif kind == "link":
        path.symlink_to(path.parent / "nowhere" / "nothing")
    elif kind == "no folder":
        shutil.rmtree(path.parent)
        path.parent.write_bytes(b"")
    elif kind == "later":
        path.write_bytes(LATER[file])
    else:
        changed = {"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\0\xff\n" * 20}
        path.write_bytes(changed[kind])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(privacy.VARIABLE, raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / ".decant" / "prefect").mkdir(parents=True)
    (tmp_path / ".decant" / "prefect" / "prefect.db").write_bytes(database(min(home.revisions())))
    return tmp_path


@pytest.mark.parametrize(("file", "kind"), ALL)
def test_a_damaged_file_is_done_without_or_named(root: Path, file: str, kind: str) -> None:
    use = USES[file]
    use(root)
    damage(root / file, kind, file)
    if kind in DONE_WITHOUT.get(file, set()):
        use(root)
        return
    with pytest.raises(ValueError) as refused:
        use(root)
    line = str(refused.value)
    assert "\n" not in line and "move it away" in line
    result = NAMED.search(line)
    assert result is not None, line
    named = root / result[1]
    assert named.exists() or named.is_symlink()
    named.rename(root / "moved-away")
    use(root)


def test_every_file_is_in_the_table_of_the_documentation() -> None:
    message = DOCS.read_text().partition("files of the workspace are damaged")[2]
    for file in USES:
        folders = [Path(file), *Path(file).parents]
        assert any(f"`{folder}`" in message for folder in folders), file
    assert f"`{home.SPARE}`" in message
