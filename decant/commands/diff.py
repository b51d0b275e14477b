"""`decant diff`: compare settings, quality per group and cost of two runs."""

import argparse
import json
from pathlib import Path
from typing import Any

from decant.cli import COMMANDS
from decant.commands.releases import show_warnings
from decant.diff.compare import compare
from decant.diff.layout import as_markdown, as_text
from decant.diff.page import sections
from decant.diff.sides import WORKSPACE

NAME = "diff"
DESCRIPTION = f"""Compare two runs: the settings that differ, the stages that ran and why, each
quality figure with its paired 95 % interval per user group, sizes and times, the gate's verdict.
Each of A and B is a commit, branch, tag or DVC experiment whose dvc.lock is committed, a release
or channel, or `{WORKSPACE}`. Runs and downloads nothing."""


def add_commands(subparsers: Any) -> None:
    """Register `decant diff`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        NAME, help=COMMANDS[NAME][1], description=DESCRIPTION
    )
    parser.add_argument("a", metavar="A", help="the old run, such as HEAD~1 or production")
    parser.add_argument(
        "b", metavar="B", nargs="?", default=WORKSPACE, help=f"the new run; default: {WORKSPACE}"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--md", action="store_true", help="print Markdown, for a merge request")
    kinds.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="the project; default: this folder"
    )
    parser.set_defaults(func=show_warnings()(run))


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    document = compare(arguments.root, (arguments.a, arguments.b))
    if arguments.json:
        print(json.dumps(document, indent=2, sort_keys=True, default=str))
    else:
        print((as_markdown if arguments.md else as_text)(sections(document)))
    return 0
