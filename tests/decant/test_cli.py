"""The command line: every command is found, none is imported before it is used."""

import importlib
import os
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from decant import cli

REPOSITORY = Path(__file__).resolve().parents[2]


def decant(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "decant", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_help_lists_every_command() -> None:
    shown = decant("--help")
    assert shown.returncode == 0
    for name, (_, text) in cli.COMMANDS.items():
        assert name in shown.stdout
        assert text in shown.stdout


def test_the_list_is_whole_whichever_command_is_named_beside_it() -> None:
    for name in cli.COMMANDS:
        shown = cli.build_parser(name).format_help()
        assert {text for _, text in cli.COMMANDS.values() if text not in shown} == set()


def test_help_imports_no_commands() -> None:
    code = (
        "import sys, decant.cli\n"
        "try: decant.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'numpy', 'pandas', 'torch', 'pydantic', 'boto3', 'onnxruntime', 'starlette'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_and_a_module_that_registers_it(name: str) -> None:
    parser = cli.build_parser(name)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([name, "--help"])
    assert ended.value.code == 0
    module = importlib.import_module(cli.COMMANDS[name][0])
    assert callable(module.add_commands)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["recomend"], "no command `recomend`; did you mean `recommend`?"),
        (["zzz"], "no command `zzz`; commands: configure, fetch"),
        (["--bogus"], "see `decant --help`"),
        (["releases", "--bogus"], "unrecognized arguments: --bogus"),
        (["promote"], "the following arguments are required: ID; see `decant promote --help`"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("decant: error: ")
    assert captured.err.count("\n") == 1
    assert problem in captured.err
    assert captured.out == ""


def command(monkeypatch: pytest.MonkeyPatch, func: Any) -> None:
    """Put a command `try` into the table."""
    module = types.ModuleType("tried")
    module.add_commands = lambda sub: sub.add_parser("try").set_defaults(func=func)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tried", module)
    monkeypatch.setitem(cli.COMMANDS, "try", ("tried", "a command for this test"))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("two\n  lines"), 2, "decant: error: two lines\n"),
        (ValueError(), 2, "decant: error: ValueError\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.csv"), 2,
            "decant: error: x.csv: No such file or directory\n",
        ),
        (OSError(28, "No space left on device"), 2,
         "decant: error: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_errors_become_a_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    def fail(_: Any) -> int:
        raise error

    command(monkeypatch, fail)
    assert cli.main(["try"]) == status
    assert capsys.readouterr().err == said


def test_an_error_of_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, lambda _: {}["missing"])
    with pytest.raises(KeyError):
        cli.main(["try"])


def test_a_commands_status_is_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, lambda _: 1)
    assert cli.main(["try"]) == 1


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("source: demo\n")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "decant", "status", "--root", str(tmp_path)],
            cwd=REPOSITORY,
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == cli.NO_READER
    assert done.stderr == ""


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"decant {version('decant')}\n"
