"""`decant …`: the table of commands; a command's module is imported when it is used."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from decant.suggest import suggest
from decant.terminal import print_what_can_be

MISTAKE, INTERRUPTED, NO_READER = 2, 130, 141
LAST_PORT = 65535

# command: (module whose `add_commands` registers it, help)
COMMANDS = {
    "configure": ("decant.commands.configure", "set up the project for a data source"),
    "fetch": ("decant.commands.fetch", "download a public data set"),
    "recommend": ("decant.commands.service", "print recommendations of the release in production"),
    "serve": ("decant.commands.service", "serve the release in production over HTTP"),
    "status": ("decant.commands.releases", "show the release in production and the candidate"),
    "releases": ("decant.commands.releases", "list the releases, newest first"),
    "promote": ("decant.commands.releases", "point production at a release"),
    "rollback": ("decant.commands.releases", "return to the previous release"),
    "trace": ("decant.commands.releases", "show where a release came from"),
    "diff": ("decant.commands.diff", "compare two runs: settings, quality, costs"),
    "robustness": ("decant.commands.robustness", "measure trained models on noisy histories"),
    "bench": ("benchmarks.cli", "run a benchmark, write its results"),
}


class CommandLineError(ValueError):
    """An unknown command, or missing or unknown options."""


class Help(argparse.HelpFormatter):
    """Help with each command and its meaning on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = max(map(len, COMMANDS)) + 4


class Version(argparse.Action):
    """Print the version of the installed package, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        print(f"decant {version('decant')}")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors; `main` prints them in one line."""

    def error(self, message: str) -> NoReturn:
        raise CommandLineError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status, 2 for a user error."""
    print_what_can_be()
    try:
        try:
            return run(sys.argv[1:] if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (ValueError, OSError) as error:
        print(f"decant: error: {one_line(error)}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED


def run(arguments: list[str]) -> int:
    """Parse the arguments and run the command.

    Raises:
        CommandLineError: unknown command or option. Also raises the command's errors.
    """
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    parsed = build_parser(known(name) if name else None).parse_args(arguments)
    command = getattr(parsed, "func", None) or parsed.handler
    return int(command(parsed))


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Build the parser of all commands; import only the module of `command`."""
    parser = Parser(
        prog="decant",
        description="One large recommender in, a released family of small ones out. `make run` "
        "makes the first release; these commands manage releases.",
        epilog="`decant COMMAND --help` describes one command.",
        formatter_class=Help,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and exit")
    subparsers: Any = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    module = COMMANDS[command][0] if command else None
    for name, (home, text) in COMMANDS.items():
        if home != module:
            subparsers.add_parser(name, help=text)
    if module:
        load(module).add_commands(subparsers)
    return parser


def load(module: str) -> Any:
    """Import the module of a command.

    Raises:
        CommandLineError: the benchmarks are not installed.
    """
    if module.startswith("benchmarks."):
        sys.path.append(str(Path(__file__).resolve().parents[1]))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "benchmarks":
            raise
        raise CommandLineError("benchmarks need a checkout of the project") from None


def known(name: str) -> str:
    """Return `name` if it is a command.

    Raises:
        CommandLineError: it is not; the message suggests similar names.
    """
    if name in COMMANDS:
        return name
    raise CommandLineError(f"no command `{name}`; {suggest(name, COMMANDS, 'commands')}")


def port(text: str) -> int:
    """Parse a port for an option; 0 stands for any free port.

    Raises:
        ArgumentTypeError: the text is not a whole number up to 65535.
    """
    if text.isdecimal() and int(text) <= LAST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"invalid port `{text}`: expected 1 to {LAST_PORT}")


def one_line(error: ValueError | OSError) -> str:
    """Format an error as one line."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
