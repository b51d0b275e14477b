"""A step's fingerprint changes with the code that it uses, and with nothing else."""

from pathlib import Path

import pytest

from tasks import fingerprint
from tasks.fingerprint import main, steps
from tasks.runner.code_digest import Code

FILES = {
    "params.yaml": "{}\n",
    "dvc.yaml": "stages:\n"
    "  fingerprint: {cmd: exec python -m tasks.fingerprint}\n"
    "  one: {cmd: exec python -m tasks.one}\n"
    "  two: {cmd: exec python -m tasks.two general}\n",
    "tasks/__init__.py": "",
    "tasks/one.py": "import decant.shared\n\ndef run():\n    from decant.lazy import late\n",
    "tasks/two.py": "from decant import shared\nfrom decant.deep.inner import value\n",
    "decant/__init__.py": "",
    "decant/shared.py": '"""Shared."""\nimport json\n\ndef add(a, b):\n    return a + b\n',
    "decant/lazy.py": "late = 1\n",
    "decant/deep/__init__.py": "from .sibling import more\n",
    "decant/deep/inner.py": "value = 1\n",
    "decant/deep/sibling.py": "more = 1\n",
    "decant/unused.py": "nobody = 1\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(fingerprint, "key_fingerprint", lambda root: "key")
    return tmp_path


def changed(root: Path, name: str, text: str) -> set[str]:
    """Fingerprints that change when a file does."""
    before = main(root)
    (root / name).write_text(text)
    after = main(root)
    return {step for step in after if after[step] != before.get(step)}


def test_every_program_of_the_graph_has_one_and_the_key_has_its_own(root: Path) -> None:
    assert steps(root) == ["one", "two"]
    assert set(main(root)) == {"one", "two", "key", "bert", "init"}
    assert (root / "data/fingerprints/key.txt").read_text() == "key\n"


def test_imports_are_followed_through_packages_functions_and_relative_names(root: Path) -> None:
    assert set(Code(root).closure("tasks.one")) == {
        "decant", "decant.lazy", "decant.shared", "tasks", "tasks.one",
    }  # fmt: skip
    assert {"decant.deep", "decant.deep.inner", "decant.deep.sibling"} <= set(
        Code(root).closure("tasks.two")
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("decant/lazy.py", {"one"}),
        ("decant/deep/sibling.py", {"two"}),
        ("decant/unused.py", set()),
        ("decant/shared.py", {"one", "two"}),
    ],
)
def test_a_change_touches_the_steps_that_use_it(root: Path, name: str, expected: set[str]) -> None:
    assert changed(root, name, "other = 2\n") == expected


def test_comments_docstrings_and_formatting_do_not_count(root: Path) -> None:
    text = 'import json\n"""Said otherwise."""\ndef add( a,b ):  # why\n    """New."""\n'
    assert changed(root, "decant/shared.py", text + "    return (a + b)\n") == set()
    assert changed(root, "decant/shared.py", text + "    return a - b\n") == {"one", "two"}


def test_imports_for_type_checkers_alone_do_not_count(root: Path) -> None:
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import decant.unused\n"
    (root / "tasks/one.py").write_text(guarded)
    assert "decant.unused" not in Code(root).closure("tasks.one")


def test_an_unchanged_fingerprint_is_not_written_again_and_an_old_one_goes(root: Path) -> None:
    main(root)
    path = root / "data/fingerprints/one.txt"
    stamp = path.stat().st_mtime_ns
    (root / "data/fingerprints/gone.txt").write_text("x")
    main(root)
    assert path.stat().st_mtime_ns == stamp
    assert not (root / "data/fingerprints/gone.txt").exists()


@pytest.mark.parametrize(
    ("params", "name", "file"),
    [
        ("embed: {encoder: bert, bert: outside}\n", "bert", "outside/model.safetensors"),
        ("teacher: {warm_start: outside}\n", "init", "outside/manifest.json"),
    ],
)
def test_a_model_outside_of_data_is_digested_by_what_it_holds(
    root: Path, monkeypatch: pytest.MonkeyPatch, params: str, name: str, file: str
) -> None:
    monkeypatch.chdir(root)
    assert main(root)[name] == "none"
    assert changed(root, "params.yaml", params) == set()  # there is no such folder yet
    (root / "outside").mkdir()
    (root / "outside" / "config.json").write_text('{"model_type": "bert"}')
    (root / file).write_text("weights")
    (root / "outside" / "more").mkdir()
    assert main(root)[name] != "none"
    assert changed(root, file, "weights") == set()
    assert changed(root, file, "other weights") == {name}


def test_a_program_that_is_not_there_is_named(root: Path) -> None:
    (root / "tasks/one.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"tasks\.one"):
        main(root)
