"""`decant bench NAME`: reproduce the measurements in the documentation."""

import argparse
import importlib
import json
import math
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.catalogue import (
    BENCHMARKS,
    DEMO,
    Benchmark,
    UnknownBenchmarkError,
    benchmark_of,
)
from benchmarks.harness.checkout import Clone, clone, commit_of, renewed, uncommitted
from benchmarks.provenance.looks import LOOKS, check_list, enter, purpose
from benchmarks.provenance.record import Provenance
from benchmarks.provenance.settings import Chosen
from benchmarks.provenance.status import KEPT, statuses, table, unmeasured
from decant.cli import Parser
from decant.commands.fetch import fetch
from decant.commands.parser import add_command, add_json
from decant.commands.presets import PRESET_GROUPS, read_preset
from decant.params.types import PROTOCOLS
from decant.report.results import FOLDER, Outcome, document, write

TEST, VALIDATION = "test", "validation"
RAW = "raw"  # folder of downloads
SEEDS = 3
IDS = ("ids", "ids-ensemble")  # profiles that are not compared with the others
Log = Callable[[str], None]
# option of data sets: the argument's name, its value in the command
OPTIONS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "from": ("given", lambda folder: "DIR"),
    "profile": ("profile", str),
    "protocol": ("protocol", str),
    "seeds": ("seeds", str),
    "minutes": ("minutes", "{:g}".format),
    "without": ("without", str),
    "groups": ("groups", str),
}
ABOUT = f"""Run a benchmark in clones of the committed state, and write its results.
Takes minutes to hours.

With --test its figures are of the test window: they are written to
{FOLDER}/NAME.json and NAME.md, and the look is entered in {LOOKS}.
Without it, they are of the validation window, and written to {KEPT}/.
Benchmarks that rank no window (marked *) write to {FOLDER} and take no --test.

--status compares every results file with the working tree: `current`, `stale`
(which code, settings, data or libraries differ), or `not reproducible` (an
older layout, a command that no longer exists, data that is not here). It
trains nothing and takes seconds.

benchmarks:
"""


def add_commands(subparsers: Any) -> None:
    """Register `decant bench`."""
    width = max(map(len, BENCHMARKS)) + 1
    listed = [
        f"  {(name + '*' * (not one.ranks)).ljust(width)}  {one.text}"
        for name, one in BENCHMARKS.items()
    ]
    parser = add_command(
        subparsers,
        "bench",
        ABOUT + "\n".join(listed),
        run,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="a benchmark, as listed above")
    parser.add_argument(
        "--test",
        type=purpose,
        metavar="DECISION",
        help="rank the test window; DECISION says what will be decided on it",
    )
    parser.add_argument("--status", action="store_true", help="show which results are current")
    add_json(parser, "print the results, or the status, as JSON too")
    parser.add_argument("--keep", action="store_true", help="keep temporary clones")
    data = parser.add_argument_group("only for data sets")
    data.add_argument(
        "--from",
        dest="given",
        type=Path,
        metavar="DIR",
        help="its raw files; default: those in data/raw of the data set, else a download",
    )
    data.add_argument(
        "--profile",
        choices=("quick", "full", *IDS),
        help=f"of the preset; {' and '.join(IDS)}: movielens-1m from item ids alone, with a page "
        "of results of its own; default: full",
    )
    data.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="movielens-1m as in the benchmark file of SASRec and BERT4Rec, or an error",
    )
    data.add_argument("--seeds", type=int, metavar="N", help=f"teachers to train; default: {SEEDS}")
    data.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="stop then with status 1; the same command resumes; of `training`: to train for",
    )
    students = parser.add_argument_group("only for the students of groups")
    students.add_argument(
        "--without", metavar="NAME[,NAME]", help="variants to leave out, see docs/students.md"
    )
    students.add_argument(
        "--groups",
        type=named_groups,
        metavar="NAME",
        help="activity: groups by the length of the history, with a page of results of its own; "
        f"default: {PRESET_GROUPS}, the preset's",
    )


def named_groups(name: str) -> str | None:
    """The groups of `--groups`; None for the preset's own, as without the option."""
    return None if name == PRESET_GROUPS else name


def run(arguments: argparse.Namespace) -> int:
    """Run `decant bench`; return 1 if an expectation failed."""
    root = arguments.root.resolve()
    if arguments.status:
        return show_status(root, arguments)
    if arguments.name is None:
        raise ValueError(f"name a benchmark: {', '.join(BENCHMARKS)}; or give --status")
    benchmark, began = benchmark_of(arguments.name), time.monotonic()
    commit, log = commit_of(root), progress(began)
    for name in uncommitted(root)[:1]:
        log(f"uncommitted changes, such as {name}, are not measured")
    check_options(arguments, benchmark)
    check_profile(root, arguments, benchmark)
    if arguments.test:
        check_list(root)
    outcome, provenance = measure(root, arguments, benchmark, log)
    command, seconds = command_of(arguments, benchmark), time.monotonic() - began
    if arguments.test:
        enter(root, commit, benchmark.source or DEMO, command, arguments.test)
        log(f"entered in {LOOKS}")
    name, folder = place_of(arguments, benchmark)
    result = document(name, outcome, commit, seconds, command, provenance)
    for path in write(root / folder, result, outcome):
        log(f"wrote {path.relative_to(root)}")
    for line in filter(None, [outcome.shown, *(f"failed: {f}" for f in outcome.failures)]):
        print(line, file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=2, sort_keys=True))
    return int(bool(outcome.failures))


def place_of(arguments: argparse.Namespace, benchmark: Benchmark) -> tuple[str, Path]:
    """Name and folder of the results; figures of validation stay out of the documentation."""
    profile = arguments.profile if arguments.profile in IDS else None
    name = "-".join(filter(None, (arguments.name, profile, arguments.groups)))
    if benchmark.ranks and not arguments.test:
        return f"{name}.{VALIDATION}", KEPT
    return name, FOLDER


def show_status(root: Path, arguments: argparse.Namespace) -> int:
    """Print the status of every results file, or of one; 0 whatever it is."""
    if ignored := [f"--{option}" for option in options_given(arguments)]:
        raise ValueError(f"{', '.join(ignored)}: has no effect with --status")
    shown = statuses(root, parse)
    never = [unmeasured(name) for name in BENCHMARKS if name not in {one.name for one in shown}]
    shown = sorted([*shown, *never], key=lambda one: one.name)
    if arguments.name is not None:
        shown = [one for one in shown if one.name == arguments.name]
        if not shown:
            raise UnknownBenchmarkError(arguments.name)
    as_json = [one.as_json() for one in shown]
    print(json.dumps(as_json, indent=2) if arguments.json else table(shown))
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """Parse a command line from `bench` on, as `decant` does.

    Raises:
        ValueError: an option does not exist, or the benchmark does not take it.
    """
    parser = Parser(prog="decant")
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(words)
    if getattr(arguments, "name", None) is None:
        raise ValueError("no benchmark is named")
    check_options(arguments, benchmark_of(arguments.name))
    return arguments


def check_options(arguments: argparse.Namespace, benchmark: Benchmark) -> None:
    """Check that all options apply to the benchmark.

    Raises:
        ValueError: an option does not apply.
    """
    given = [f"--{option}" for option in options_given(arguments)]
    refused = [option for option in given if option.removeprefix("--") not in benchmark.options]
    if refused:
        takes = ", ".join(f"--{option}" for option in benchmark.options) or "no such option"
        raise ValueError(f"{', '.join(refused)}: {arguments.name} takes {takes}")
    if arguments.test and not benchmark.ranks:
        raise ValueError(f"--test: {arguments.name} does not rank a test window")
    if arguments.seeds is not None and arguments.seeds < 1:
        raise ValueError(f"invalid --seeds {arguments.seeds}: expected at least 1")
    if arguments.minutes is not None and not 0 < arguments.minutes < math.inf:
        raise ValueError(f"invalid --minutes {arguments.minutes:g}: expected more than 0")


def check_profile(root: Path, arguments: argparse.Namespace, benchmark: Benchmark) -> None:
    """Check that the preset of a data set has the profile.

    Raises:
        ValueError: it has not.
    """
    if arguments.profile is None or benchmark.source is None:
        return
    profiles = list(read_preset(root, benchmark.source)["profiles"])
    if arguments.profile not in profiles:
        has = f"{arguments.name} has {', '.join(profiles)}"
        raise ValueError(f"no profile {arguments.profile!r}: {has}")


def options_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `OPTIONS` that were given, with their values."""
    values = {option: getattr(arguments, name) for option, (name, _) in OPTIONS.items()}
    return {option: value for option, value in values.items() if value is not None}


def command_of(arguments: argparse.Namespace, benchmark: Benchmark) -> str:
    """The command with every option that changes figures, without paths of this machine."""
    words = ["decant", "bench", arguments.name]
    for option, value in options_given(arguments).items():
        if option != "minutes" or benchmark.timed:
            words += [f"--{option}", OPTIONS[option][1](value)]
    return shlex.join([*words, *(["--test", arguments.test] if arguments.test else [])])


def measure(
    root: Path, arguments: argparse.Namespace, benchmark: Benchmark, log: Log
) -> tuple[Outcome, dict[str, Any]]:
    """Run a benchmark in a clone; return its outcome and how it came about."""
    module = importlib.import_module(benchmark.module)
    without = tuple(arguments.without.split(",")) if arguments.without else ()
    with workspace(root, arguments, benchmark, log) as project:
        profile = arguments.profile or benchmark.profile if benchmark.kept else None
        chosen = Chosen(profile, without, arguments.protocol, arguments.groups)
        provenance = Provenance(project, benchmark, chosen)
        given = raw_files(root, project, arguments, benchmark)
        outcome = module.bench(project, log, **keywords(arguments, benchmark, given))
        return outcome, provenance.complete(outcome.trained)


def raw_files(
    root: Path, project: Clone, arguments: argparse.Namespace, benchmark: Benchmark
) -> Path | None:
    """The folder with the raw files of a data set; None if the clone has them, or makes them.

    Raises:
        ValueError: they are not here, and cannot be downloaded.
    """
    place = Path("data/raw") / str(benchmark.source)
    if arguments.given is not None:
        return Path(arguments.given)
    if benchmark.source in (None, DEMO) or (project.root / place).is_dir():
        return None
    if (root / place).is_dir():
        return root / place
    return fetch(str(benchmark.source), root / KEPT / RAW / str(benchmark.source))


def keywords(
    arguments: argparse.Namespace, benchmark: Benchmark, given: Path | None
) -> dict[str, Any]:
    """The arguments of a benchmark's function besides its clone and its log.

    Args:
        given: the folder with raw files.
    """
    values = {
        "from": ("given", given),
        "minutes": ("minutes", arguments.minutes),
        "profile": ("profile", arguments.profile or benchmark.profile),
        "protocol": ("protocol", arguments.protocol),
        "seeds": ("seeds", arguments.seeds or SEEDS),
        "without": ("without", arguments.without.split(",") if arguments.without else []),
        "groups": ("groups", arguments.groups),
    }
    window = {"window": TEST if arguments.test else VALIDATION} if benchmark.ranks else {}
    return {**dict(values[option] for option in benchmark.options), **benchmark.fixed, **window}


@contextmanager
def workspace(
    root: Path, arguments: argparse.Namespace, benchmark: Benchmark, log: Log
) -> Iterator[Clone]:
    """A clone to measure in: one that stays for long training, else a temporary one."""
    if benchmark.source is not None:
        folder = root / KEPT / benchmark.source
        log(f"working in {folder.relative_to(root)}, which is kept")
        yield renewed(root, folder)
        return
    folder = Path(tempfile.mkdtemp(prefix=f"decant-{arguments.name}-"))
    log(f"working in {folder}")
    try:
        yield clone(root, folder / "project")
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def progress(began: float) -> Log:
    """A function that logs to stderr, with the seconds since `began`."""

    def log(line: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {line}", file=sys.stderr, flush=True)

    return log
