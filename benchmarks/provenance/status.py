"""Which results files are current: their ingredients against those of the working tree."""

import argparse
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.catalogue import BENCHMARKS, Benchmark
from benchmarks.provenance.ingredients import PACKAGES, Ingredients, ingredients
from benchmarks.provenance.settings import Chosen, is_generated
from decant.files import read_json
from decant.report.results import FOLDER, ResultsError, read
from tasks.runner.code_digest import Code

CURRENT, STALE, NOT_REPRODUCIBLE = "current", "stale", "not reproducible"
NEVER = "never measured"
KEPT = Path(".decant/bench")  # clones of resumable benchmarks, and figures of validation
OLDER = "older layout: it does not record code, settings and data"
NAMED = 4  # parts of one kind that a line names
DECISION = "WHAT IT DECIDES"  # in the place of the argument of --test
Parse = Callable[[list[str]], argparse.Namespace]


@dataclass(frozen=True)
class Status:
    """The state of one results file.

    `changed`: the ingredients that differ from the working tree's, by kind. `why`: the state in
    words. `missing_data`: all else is equal, but the raw data is not there to check. `command`:
    measures it again.
    """

    name: str
    state: str
    why: str
    commit: str | None
    command: str
    changed: dict[str, list[str]] = field(default_factory=dict)
    missing_data: bool = False

    @property
    def earlier(self) -> bool:
        """Whether figures must be called those of an earlier version.

        Data that is not there does not count: pages must not depend on what a machine has.
        """
        return self.state != CURRENT and not self.missing_data

    def as_json(self) -> dict[str, Any]:
        """The status as a mapping."""
        return asdict(self)


def statuses(root: Path, parse: Parse) -> list[Status]:
    """The status of every results file in `docs/results`.

    Args:
        parse: the parser of `decant bench`; raises ValueError for what it does not know.
    """
    code = Code(root, PACKAGES)
    names = sorted(path.stem for path in (root / FOLDER).glob("*.json"))
    return [status(code, name, parse) for name in names]


def status(code: Code, name: str, parse: Parse) -> Status:
    """The status of one results file."""
    path = code.root / FOLDER / f"{name}.json"
    try:
        result = read(path)
    except ResultsError as error:
        commit = _commit_in(path)
        return Status(name, NOT_REPRODUCIBLE, str(error), commit, _command(name, "", parse))
    recorded, commit = str(result["command"]), str(result["commit"])
    measured, gone = _benchmark_in(recorded, parse)
    command = _command(name, recorded, parse)
    if "provenance" not in result:
        gone = "; ".join(filter(None, [OLDER, gone]))
    if measured is None or gone:
        return Status(name, NOT_REPRODUCIBLE, gone, commit, command)
    benchmark, provenance = BENCHMARKS[measured], result["provenance"]
    chosen, places = Chosen.from_json(provenance["chosen"]), _places(code.root, benchmark)
    try:
        now = ingredients(code, benchmark, chosen, places)
    except ValueError as error:
        changed = {"settings": [str(error)]}
        return Status(name, STALE, f"settings: {error}", commit, command, changed)
    return _compared(name, benchmark, provenance, now, commit, command)


def _compared(
    name: str, benchmark: Benchmark, provenance: dict[str, Any], now: Ingredients, commit: str,
    command: str,
) -> Status:  # fmt: skip
    before = Ingredients(*(provenance[kind] for kind in ("code", "settings", "data", "libraries")))
    changed = before.changes(now)
    absent = not now.data
    if absent:  # or follows from code and settings
        changed.pop("data", None)
    if changed:
        return Status(name, STALE, in_words(changed), commit, command, changed)
    if absent and not is_generated(benchmark):
        why = f"its data is not here to check: data/raw/{benchmark.source}"
        return Status(name, NOT_REPRODUCIBLE, why, commit, command, missing_data=True)
    return Status(name, CURRENT, "nothing has changed", commit, command)


def unmeasured(name: str) -> Status:
    """The status of a benchmark without a results file."""
    command = _again(["decant", "bench", name], BENCHMARKS[name])
    return Status(name, NEVER, "there is no results file", None, command)


def in_words(changed: dict[str, list[str]]) -> str:
    """Changed ingredients in one line; programs of stages by the name of their stage."""
    parts = []
    for kind, names in changed.items():
        shown = [name.removeprefix("tasks.") for name in names[:NAMED]]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        parts.append(f"{kind}: {', '.join(shown)}{more}")
    return "; ".join(parts)


def _places(root: Path, benchmark: Benchmark) -> list[Path]:
    """Workspaces that may have the raw data of a benchmark."""
    return [root / KEPT / str(benchmark.source), root]


def _benchmark_in(recorded: str, parse: Parse) -> tuple[str | None, str]:
    """The benchmark of a recorded command, and why it cannot be given any more; one of both."""
    try:
        return str(parse(shlex.split(recorded)[1:]).name), ""
    except ValueError as error:
        why = str(error).split(";")[0]
        return None, f"its command no longer exists: `{recorded}`: {why}"


def _command(name: str, recorded: str, parse: Parse) -> str:
    """The command that measures a results file again; empty if there is none."""
    measured, gone = _benchmark_in(recorded, parse)
    if measured is None and name not in BENCHMARKS:
        return ""
    words = ["decant", "bench", name] if gone else shlex.split(recorded)
    if "--test" in words:
        place = words.index("--test")
        del words[place : place + 2]
    return _again(words, BENCHMARKS[measured or name])


def _again(words: list[str], benchmark: Benchmark) -> str:
    """A command with a place for what a look at the test window decides."""
    return shlex.join([*words, *(["--test", DECISION] if benchmark.ranks else [])])


def _commit_in(path: Path) -> str | None:
    try:
        commit = read_json(path).get("commit")
    except ValueError:
        return None
    return commit if isinstance(commit, str) else None


def table(listed: list[Status]) -> str:
    """Statuses as text: name, state, commit, what changed, the command."""
    width = max((len(status.name) for status in listed), default=0)
    lines = []
    for one in listed:
        lines.append(f"{one.name.ljust(width)}  {one.state}: {one.why}")
        if one.state != NEVER:
            lines.append(f"{' ' * width}  measured at {(one.commit or 'an unknown commit')[:12]}")
        lines += [f"{' ' * width}  again: {one.command}"] if one.command else []
    return "\n".join(lines)
