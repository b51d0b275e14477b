"""`decant bench NAME`: reproduce the measurements in the documentation."""

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness.checkout import clone, commit_of, renewed, uncommitted
from decant.commands.parser import add_command, add_json
from decant.params.types import PROTOCOLS
from decant.report.results import FOLDER, document, write
from decant.suggest import suggest

DATA_SETS = "benchmarks.experiments.data_sets"
TRAINING = "benchmarks.throughput.compare"
STUDENTS = "benchmarks.experiments.students"
GROUPS, LOSSES = "-groups", "-losses"  # suffixes of a data set's name, which share its clone
BENCHMARKS = {
    "demo": (
        "benchmarks.system.demo",
        "the demo shop, end to end: quality, size, latency, time",
    ),
    "faults": ("benchmarks.system.faults", "kill -9 at every stage, full disk, damaged release"),
    "robustness": (
        "benchmarks.experiments.robustness",
        "quality of every model on increasingly noisy histories",
    ),
    "incremental": (
        "benchmarks.experiments.incremental",
        "training from scratch against updating, day by day",
    ),
    "modalities": (
        "benchmarks.experiments.modalities",
        "gain from text and images, also on new items",
    ),
    "serving": (
        "benchmarks.system.serving",
        "effect of one client on another, with the service's limits",
    ),
    "reruns": (
        "benchmarks.system.reruns",
        "only what a change affects runs again; same release id",
    ),
    "movielens-100k": (DATA_SETS, "traditional models, teacher and family, split by time"),
    "movielens-1m": (
        DATA_SETS,
        "the same with the published protocol: leave-one-out, whole catalogue",
    ),
    "demo-groups": (STUDENTS, "variants of every group's student, released or not, on the demo"),
    "movielens-1m-groups": (STUDENTS, "the same on MovieLens 1M"),
    "demo-losses": (STUDENTS, "each loss for training a student, on the demo"),
    "movielens-1m-losses": (STUDENTS, "the same on MovieLens 1M"),
    "training": (
        TRAINING,
        "speed, and quality at equal steps, beside RecTools' SASRec on MovieLens 1M",
    ),
    "online-retail": (DATA_SETS, "the same on a shop's log, split by time"),
}
IDS = ("ids", "ids-ensemble")  # profiles that are not compared with the others
Log = Callable[[str], None]
KEPT = Path(".decant/bench")  # clones of resumable benchmarks


class UnknownBenchmarkError(ValueError):
    """No benchmark has this name; the message suggests similar ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no benchmark `{name}`; {suggest(name, BENCHMARKS, 'benchmarks')}")


def add_commands(subparsers: Any) -> None:
    """Register `decant bench`."""
    width = max(map(len, BENCHMARKS))
    listed = [f"  {name.ljust(width)}  {text}" for name, (_, text) in BENCHMARKS.items()]
    parser = add_command(
        subparsers,
        "bench",
        "Run a benchmark in clones of the committed state, and write its results to\n"
        f"{FOLDER}/NAME.json and NAME.md. Takes minutes to hours.\n\n"
        "benchmarks:\n" + "\n".join(listed),
        run,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="a benchmark, as listed above")
    add_json(parser, "print the results as JSON too")
    parser.add_argument("--keep", action="store_true", help="keep temporary clones")
    data = parser.add_argument_group("only for data sets")
    data.add_argument(
        "--from", dest="given", type=Path, metavar="DIR", help="its raw files; default: download"
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
    data.add_argument("--seeds", type=int, metavar="N", help="teachers to train; default: 3")
    data.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help="stop then with status 1; the same command resumes",
    )
    students = parser.add_argument_group("only for the students of groups")
    students.add_argument(
        "--without", metavar="NAME[,NAME]", help="variants to leave out, see docs/students.md"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run `decant bench`; return 1 if an expectation failed."""
    if arguments.name not in BENCHMARKS:
        raise UnknownBenchmarkError(arguments.name)
    root = arguments.root.resolve()
    commit = commit_of(root)
    began = time.monotonic()
    log = progress(began)
    for name in uncommitted(root)[:1]:
        log(f"uncommitted changes, such as {name}, are not measured")
    check_options(arguments)
    measured = on_data_set if is_data_set(arguments.name) else in_temporary_clone
    outcome = measured(root, arguments, log)
    command = f"decant bench {arguments.name}"
    for option in ("profile", "protocol", "without"):
        value = getattr(arguments, option)
        command += f" --{option} {value}" if value else ""
    page = f"{arguments.name}-{arguments.profile}" if arguments.profile in IDS else arguments.name
    result = document(page, outcome, commit, time.monotonic() - began, command)
    for path in write(root / FOLDER, result, outcome):
        log(f"wrote {path.relative_to(root)}")
    for failure in outcome.failures:
        print(f"failed: {failure}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=2, sort_keys=True))
    return int(bool(outcome.failures))


def is_data_set(name: str) -> bool:
    """Whether a benchmark measures a data set, whose files may be given."""
    return BENCHMARKS[name][0] in (DATA_SETS, TRAINING, STUDENTS)


def data_set_of(name: str) -> str:
    """The data set that a benchmark measures."""
    for end in (GROUPS, LOSSES):
        name = name.removesuffix(end)
    return name


def check_options(arguments: argparse.Namespace) -> None:
    """Check that all options apply to the benchmark.

    Raises:
        ValueError: an option does not apply.
    """
    options = {
        "--from": "given",
        "--profile": "profile",
        "--protocol": "protocol",
        "--seeds": "seeds",
        "--minutes": "minutes",
    }
    given = [option for option, name in options.items() if getattr(arguments, name) is not None]
    if given and not is_data_set(arguments.name):
        raise ValueError(f"{', '.join(given)}: {arguments.name} is not a data set")
    if arguments.seeds is not None and BENCHMARKS[arguments.name][0] != DATA_SETS:
        raise ValueError(f"--seeds: {arguments.name} trains one teacher")
    if arguments.without is not None and not arguments.name.endswith(GROUPS):
        raise ValueError(f"--without: {arguments.name} does not compare the students of groups")
    if arguments.seeds is not None and arguments.seeds < 1:
        raise ValueError(f"invalid --seeds {arguments.seeds}: expected at least 1")


def on_data_set(root: Path, arguments: argparse.Namespace, log: Log) -> Any:
    """Measure in a permanent clone, so that long training can be resumed."""
    benchmark = importlib.import_module(BENCHMARKS[arguments.name][0])
    source = data_set_of(arguments.name)
    folder = root / KEPT / source
    log(f"working in {folder.relative_to(root)}, which is kept")
    project = renewed(root, folder)
    given, minutes = arguments.given, arguments.minutes
    protocol = {"protocol": arguments.protocol} if arguments.protocol else {}
    if arguments.name == "training":
        return benchmark.bench(project, log, given=given, minutes=minutes, **protocol)
    profile = arguments.profile or "full"
    if source != arguments.name:
        without = arguments.without.split(",") if arguments.without else []
        return benchmark.bench(
            project, log, source=source, given=given, minutes=minutes, profile=profile,
            without=without, losses=arguments.name.endswith(LOSSES), **protocol,
        )  # fmt: skip
    return benchmark.bench(
        project, log, source=source, given=given, minutes=minutes, profile=profile,
        seeds=arguments.seeds or 3, **protocol,
    )  # fmt: skip


def in_temporary_clone(
    root: Path, arguments: argparse.Namespace, log: Callable[[str], None]
) -> Any:
    """Measure in a temporary clone."""
    benchmark = importlib.import_module(BENCHMARKS[arguments.name][0])
    folder = Path(tempfile.mkdtemp(prefix=f"decant-{arguments.name}-"))
    log(f"working in {folder}")
    try:
        return benchmark.bench(clone(root, folder / "project"), log)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def progress(began: float) -> Log:
    """A function that logs to stderr, with the seconds since `began`."""

    def log(line: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {line}", file=sys.stderr, flush=True)

    return log
