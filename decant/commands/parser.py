"""Command parsers and their shared options."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from decant.cli import COMMANDS

Handler = Callable[[argparse.Namespace], int]


def add_command(
    subparsers: Any,
    name: str,
    description: str,
    handler: Handler,
    *,
    has_root: bool = True,
    **options: Any,
) -> argparse.ArgumentParser:
    """Register a command of `decant.cli.COMMANDS`; `handler` returns the exit status.

    Args:
        has_root: add `--root DIR`.
        options: arguments of `ArgumentParser`, such as `formatter_class`.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=COMMANDS[name][1], description=description, **options
    )
    parser.set_defaults(func=handler)
    if has_root:
        parser.add_argument(
            "--root",
            type=Path,
            default=Path(),
            metavar="DIR",
            help="the project; default: this folder",
        )
    return parser


def add_json(parser: argparse.ArgumentParser, text: str = "print one JSON document") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=text)


def add_channel(parser: argparse.ArgumentParser, default: str, purpose: str) -> None:
    """Add `--channel NAME`."""
    parser.add_argument(
        "--channel", default=default, metavar="NAME", help=f"{purpose}; default: {default}"
    )
