"""The house's walls: who may import whom, and that the graph says what the steps read."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.fingerprint import steps
from tasks.runner.code_digest import Code, imports

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("decant", "tasks", "flows", "benchmarks")
PREFECT_TASKS = {"prefect_task", "publish", "promote", "tune"}
LARGEST = 500_000  # bytes
needs_git = pytest.mark.skipif(
    not (REPOSITORY / ".git").exists(), reason="without Git there is no list"
)
BLOCKS = {"validation": "validate", "segments": "students", "shrunk": "distill"}


def files(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    package = path.name == "__init__.py"
    name = module.removesuffix(".__init__")
    return set(imports(ast.parse(path.read_bytes()), name, is_package=package))


def offenders(paths: list[Path], forbidden: set[str]) -> set[str]:
    return {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in paths
        for name in imported(path)
        if name in forbidden
    }


def in_git(*patterns: str) -> set[Path]:
    """The files that are committed, or that the next `git add` would add."""
    options = ("-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    listed = subprocess.run(
        ["git", "ls-files", *options], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return {Path(n) for n in listed.stdout.split("\0") if n and (REPOSITORY / n).is_file()}


@needs_git
def test_ruff_sees_every_python_file_that_git_does() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "--no-cache", "."],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    seen = {Path(name).relative_to(REPOSITORY) for name in shown if name.endswith(".py")}
    assert seen == in_git("*.py")
    assert {Path("decant/data/checks.py"), Path("tests/decant/data/test_checks.py")} <= seen


@needs_git
def test_git_has_no_large_file() -> None:
    """Data, models and packages that were fetched stay out."""
    assert {path for path in in_git() if (REPOSITORY / path).stat().st_size > LARGEST} == set()


def test_imports_run_one_way() -> None:
    above = {"tasks", "flows", "prefect", "dvc", "benchmarks"}
    assert offenders(files("decant"), above) == set()
    assert offenders(files("tasks"), {"flows", "benchmarks"}) == set()
    assert offenders(files("flows"), {"benchmarks"}) == set()


def test_no_folder_of_the_library_imports_one_that_is_above_it() -> None:
    """So that the rooms can be read from the ground floor up."""
    below: dict[str, set[str]] = {}
    for path in files("decant"):
        room = room_of(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        below.setdefault(room, set()).update(
            room_of(name) for name in imported(path) if name.startswith("decant.")
        )
    placed: set[str] = set()
    while rooms := {r for r in below if r not in placed and below[r] - {r, "cli"} <= placed}:
        placed |= rooms
    assert set(below) - placed == set()


def room_of(module: str) -> str:
    """The folder of the library that a module is in, or the module itself where it is in none."""
    return module.split(".")[1]


def test_the_programs_of_the_steps_import_neither_prefect_nor_dvc() -> None:
    programs = [p for p in files("tasks") if p.stem not in PREFECT_TASKS]
    assert offenders(programs, {"prefect"}) == set()
    assert offenders([p for p in programs if p.stem != "child"], {"dvc"}) == set()


def test_only_the_checks_import_great_expectations() -> None:
    result = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in files(package)
        if "great_expectations" in imported(path)
    }
    assert result <= {"decant/data/checks.py"}


@pytest.mark.parametrize("package", ["decant.serving", "decant.features"])
def test_serving_and_features_need_neither_torch_nor_pandas(package: str) -> None:
    folder = REPOSITORY.joinpath(*package.split("."))
    modules = [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(folder.rglob("*.py"))
    ]
    code = Code(REPOSITORY)
    reached = {name: path for module in modules for name, path in code.closure(module).items()}
    assert offenders(list(reached.values()), {"torch", "pandas"}) == set()
    script = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "sys.exit(', '.join({'torch', 'pandas', 'prefect', 'dvc'} & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def graph() -> dict[str, dict[str, list[str]]]:
    """Program -> what its stage lists as deps, outs and params; `*` stands for a variable."""
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    result = {}
    for stage in stages.values():
        body = stage.get("do", stage)
        program = re.search(r"tasks\.(\w+)", body["cmd"])
        assert program
        result[program[1]] = {
            key: [_path(entry) for entry in body.get(key, [])] for key in ("deps", "outs", "params")
        }
    return result


def _path(entry: str | dict[str, object]) -> str:
    name = entry if isinstance(entry, str) else next(iter(entry))
    return re.sub(r"\$\{[^}]*\}", "*", name)


def test_every_stage_depends_on_its_own_fingerprint() -> None:
    listed = graph()
    for program in steps(REPOSITORY):
        assert f"data/fingerprints/{program}.txt" in listed[program]["deps"]


@pytest.mark.parametrize("program", steps(REPOSITORY))
def test_a_stage_lists_the_settings_and_files_that_its_program_uses(program: str) -> None:
    listed = graph()[program]
    tree = ast.parse((REPOSITORY / "tasks" / f"{program}.py").read_bytes())
    blocks = {entry.split(".")[0] for entry in listed["params"]}
    assert settings_read(tree) <= blocks
    for method, key in (("input", "deps"), ("output", "outs")):
        for name in places(tree, method):
            assert any(covers(entry, f"data/{name}") for entry in listed[key]), name


def test_a_search_of_settings_is_a_decision_and_makes_no_stage_stale() -> None:
    assert not [p for p, listed in graph().items() if "tune" in listed["params"]]
    assert not {"tune", "trial"} & {*steps(REPOSITORY)}


def settings_read(tree: ast.AST) -> set[str]:
    """Blocks that a program reads as `….params.BLOCK`."""
    return {
        BLOCKS.get(node.attr, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "params"
    }


def places(tree: ast.AST, method: str) -> set[str]:
    """Names given to `workspace.input` or `.output`; `*` stands for what is filled in."""
    names = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == method
            and node.args
        ):
            given = node.args[0]
            if isinstance(given, ast.Constant):
                names.add(str(given.value))
            elif isinstance(given, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "*" for p in given.values]
                names.add("".join(map(str, parts)))
    return names


def covers(entry: str, name: str) -> bool:
    """The stage lists the place, a folder that holds it, or the parts of it that are read."""
    return entry == name or name.startswith(f"{entry}/") or entry.startswith(f"{name}/")
