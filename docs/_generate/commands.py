"""The command reference: from the parsers of every program and the Makefile."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decant.cli import COMMANDS, Parser, build_parser
from docs._generate.schema import plain, table
from flows import promote, rerun, retrain, serve, tune

FLOWS = {"retrain": retrain, "rerun": rerun, "tune": tune, "promote": promote, "serve": serve}
INTRODUCTION = """# Commands

Made from the programs' own parsers; `--help` prints the same. Run them from the project's folder,
with the environment that `make env` makes: `.venv/bin/decant …`, `.venv/bin/python -m …`. A user's
mistake ends a command with one line on stderr and status 2, a failed run with status 1.
"""


class ParserCaught(Exception):  # noqa: N818 - carries a result
    """A program has built its parser, and would parse now."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def make_targets(root: Path) -> dict[str, str]:
    """Target of the Makefile → what its help says."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z]+):[^#\n]*## (.*)$", text, flags=re.MULTILINE))


def parser_of_command(name: str) -> argparse.ArgumentParser:
    """The parser of `decant NAME`."""
    for action in build_parser(name)._actions:
        if isinstance(action, argparse._SubParsersAction):
            parser: argparse.ArgumentParser = action.choices[name]
            return parser
    raise AssertionError("`decant` has commands")


def parser_of_flow(name: str) -> argparse.ArgumentParser:
    """The parser of `python -m flows.NAME`."""
    program: Any = FLOWS[name]

    class Catcher(Parser):
        def parse_args(self, *_: object) -> argparse.Namespace:  # type: ignore[override]
            raise ParserCaught(self)

    before, program.Parser = program.Parser, Catcher
    try:
        program.main([])
    except ParserCaught as caught:
        caught.parser.__class__ = Parser
        return caught.parser
    finally:
        program.Parser = before
    raise AssertionError(f"flows.{name} parses its arguments")


def page(root: Path) -> str:
    """The page in Markdown."""
    targets = [(f"`make {name}`", plain(text)) for name, text in make_targets(root).items()]
    parts = [INTRODUCTION, "## make", table(("target", "what it does"), targets), "## decant"]
    listed = [(f"[`decant {n}`](#decant-{n})", plain(text)) for n, (_, text) in COMMANDS.items()]
    parts.append(table(("command", "what it does"), listed))
    for name in COMMANDS:
        parts += section(parser_of_command(name))
    parts.append("## Flows")
    parts.append("The flows by hand; `make run` is `python -m flows.retrain`.")
    for name in FLOWS:
        parts += section(parser_of_flow(name))
    return "\n\n".join(parts) + "\n"


def section(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Describe one program: how it is called, what it does, its arguments."""
    yield f"### {parser.prog}"
    yield plain(parser.description or "")
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    indent = len(parser.prog) + len("usage: ") + 1
    usage = re.sub(rf"^ {{{indent}}}", " " * (len(parser.prog) + 1), usage, flags=re.MULTILINE)
    yield f"```text\n{usage}\n```"
    rows = [
        (f"`{shown(action)}`", plain(action.help or ""))
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    if rows:
        yield table(("argument", "meaning"), rows)
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```"


def shown(action: argparse.Action) -> str:
    """An argument as it is typed: `--port PORT`."""
    value = action.metavar or action.dest.upper()
    if action.choices is not None and action.metavar is None:
        value = ",".join(map(str, action.choices))
    if not action.option_strings:
        return str(value)
    return (
        f"{action.option_strings[-1]} {value}" if action.nargs != 0 else action.option_strings[-1]
    )
