"""`decant bench NAME`: measure again what the documentation says."""

import argparse
import difflib
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from decant.bench.clone import clone, commit_of, uncommitted
from decant.bench.results import FOLDER, document, write

BENCHMARKS = {
    "demo": ("decant.bench.demo", "the demo shop, the whole way: quality, size, latency, time"),
    "faults": ("decant.bench.faults", "kill -9 at every stage, full disk, damaged release"),
    "incremental": ("decant.bench.incremental", "training anew against going on, day by day"),
    "modalities": ("decant.bench.modalities", "what text and images add, new items among them"),
    "reruns": ("decant.bench.reruns", "exactly what a change touches runs again; same release id"),
}


class UnknownBenchmark(ValueError):
    """There is no benchmark of this name; the message names the nearest."""

    def __init__(self, name: str) -> None:
        self.name = name
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"benchmarks: {', '.join(BENCHMARKS)}"
        super().__init__(f"no benchmark `{name}`; {hint}")


def add_commands(subparsers: Any) -> None:
    """Register `decant bench`."""
    width = max(map(len, BENCHMARKS))
    listed = [f"  {name.ljust(width)}  {text}" for name, (_, text) in BENCHMARKS.items()]
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="run a benchmark, write its results",
        description="Run a benchmark in temporary clones of what is committed, and write its "
        f"results to\n{FOLDER}/NAME.json and NAME.md. Minutes to hours, by the benchmark.\n\n"
        "benchmarks:\n" + "\n".join(listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="a benchmark, as listed above")
    parser.add_argument("--json", action="store_true", help="print the results as JSON too")
    parser.add_argument("--keep", action="store_true", help="keep the clones, to look at them")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="the project; default: this folder"
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Be the command; status 1 if something that should hold did not."""
    if arguments.name not in BENCHMARKS:
        raise UnknownBenchmark(arguments.name)
    root = arguments.root.resolve()
    commit = commit_of(root)
    began = time.monotonic()
    say = progress(began)
    for name in uncommitted(root)[:1]:
        say(f"changes that are not committed, such as {name}, are not measured")
    benchmark = importlib.import_module(BENCHMARKS[arguments.name][0])
    folder = Path(tempfile.mkdtemp(prefix=f"decant-{arguments.name}-"))
    say(f"working in {folder}")
    try:
        outcome = benchmark.bench(clone(root, folder / "project"), say)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    result = document(arguments.name, outcome, commit, time.monotonic() - began)
    for path in write(root / FOLDER, result, outcome):
        say(f"wrote {path.relative_to(root)}")
    for failure in outcome.failures:
        print(f"did not hold: {failure}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=2, sort_keys=True))
    return int(bool(outcome.failures))


def progress(began: float) -> Callable[[str], None]:
    """Prints lines to stderr, each with the seconds since `began`."""

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {line}", file=sys.stderr, flush=True)

    return say
