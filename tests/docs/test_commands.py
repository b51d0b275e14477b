"""The command reference: every program with each of its options."""

from pathlib import Path

import pytest

from decant.cli import COMMANDS
from docs._generate import commands

ROOT = Path(__file__).resolve().parents[2]
PAGE = commands.page(ROOT)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_described_with_its_options(name: str) -> None:
    assert f"\n### decant {name}\n" in PAGE
    section = PAGE.split(f"\n### decant {name}\n")[1].split("\n### ")[0]
    for action in commands.parser_of_command(name)._actions:
        for option in action.option_strings:
            assert option in section or option in ("-h", "--help")


def test_every_flow_with_a_command_line_is_described() -> None:
    programs = [
        path.stem
        for path in (ROOT / "flows").glob("*.py")
        if "Parser(prog=" in path.read_text(encoding="utf-8")
    ]
    assert sorted(programs) == sorted(commands.FLOWS)
    for name in programs:
        assert f"### python -m flows.{name}\n" in PAGE
        assert commands.parser_of_flow(name).prog == f"python -m flows.{name}"


def test_every_target_of_make_is_described() -> None:
    targets = commands.make_targets(ROOT)
    assert {"run", "test", "docs"} <= set(targets)
    assert all(f"| `make {name}` |" in PAGE for name in targets)
