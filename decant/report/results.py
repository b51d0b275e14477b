"""Results of a benchmark, as data (NAME.json) and as a page (NAME.md)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from decant.files import ContentError, read_json, replace_file

FOLDER = Path("docs/results")
ROWS, MOST_ROWS = 12, 40  # figures that a page lists if there are many; that it lists in full
MAIN_LIBRARIES = ("torch", "numpy", "pandas", "onnxruntime", "scikit-learn", "implicit")
KEYS = ("name", "command", "commit", "protocol", "seeds", "seconds", "figures")


class ResultsError(ValueError):
    """A results file that cannot be read; the message says how to get a current one."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path}: {why}; `decant bench {path.stem}` measures it again")


class Figure(TypedDict):
    """One figure; `low` and `high` bound its 95 % interval, `n` users, cases or runs."""

    value: float
    low: float | None
    high: float | None
    n: int | None


def plain(value: float, n: int | None = None) -> Figure:
    """A figure without an interval."""
    return {"value": value, "low": None, "high": None, "n": n}


@dataclass
class Outcome:
    """Results of a benchmark.

    `protocol`: the method, by subject. `failures`: failed expectations, one line each; they are
    written beside the figures and make the command fail. `shown`: text printed at the end of the
    measured run. `picture`: a plot of the figures, as SVG. `trained`: the record of each training
    behind the figures, by model.
    """

    protocol: dict[str, Any]
    seeds: list[int]
    figures: dict[str, Figure] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    shown: str = ""
    picture: str = ""
    trained: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measured(self, name: str, value: float, n: int | None = None) -> None:
        """Add a figure without an interval."""
        self.figures[name] = plain(value, n)

    def holds(self, name: str, held: bool, observed: str) -> None:
        """Add a figure: 1 if an expectation holds, else 0 and a failure with the observation."""
        self.measured(name, int(held))
        if not held:
            self.failures.append(f"{name}: {observed}")


def document(
    name: str,
    outcome: Outcome,
    commit: str,
    seconds: float,
    command: str = "",
    provenance: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of a results file.

    Args:
        seconds: of the last call; those of each training are in the provenance.
        command: its origin, by default `decant bench`.
        provenance: what the figures were made of, see `benchmarks.provenance`.
    """
    return {
        "name": name,
        "command": command or f"decant bench {name}",
        "commit": commit,
        "protocol": outcome.protocol,
        "seeds": outcome.seeds,
        "seconds": round(seconds, 1),
        "figures": outcome.figures,
        **({"provenance": provenance} if provenance else {}),
    }


def read(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises:
        ResultsError: it is damaged, or of an earlier layout; the message names what is missing.
    """
    try:
        result = read_json(path)
    except ContentError as error:
        raise ResultsError(path, str(error)) from None
    missing = [key for key in KEYS if key not in result]
    if missing:
        raise ResultsError(path, f"an earlier layout, without `{'`, `'.join(missing)}`")
    figures = result["figures"]
    if not isinstance(figures, dict):
        raise ResultsError(path, "an earlier layout, in which `figures` is not a mapping")
    for name, figure in figures.items():
        if not isinstance(figure, dict) or {*figure} != {*Figure.__annotations__}:
            parts = ", ".join(Figure.__annotations__)
            raise ResultsError(path, f"an earlier layout: `{name}` is not a figure of {parts}")
    return result


def write(folder: Path, result: Mapping[str, Any], outcome: Outcome) -> list[Path]:
    """Write NAME.json and NAME.md, and NAME.svg if there is a picture; return their paths."""
    text = json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    pages = {"json": text + "\n", "md": page(result, outcome)}
    if outcome.picture:
        pages["svg"] = outcome.picture
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, content in pages.items():
        path = folder / f"{result['name']}.{kind}"
        replace_file(path, content)
        paths.append(path)
    return paths


def page(result: Mapping[str, Any], outcome: Outcome) -> str:
    """A results file in Markdown."""
    figures = result["figures"]
    listed = sorted(figures)
    if len(listed) > MOST_ROWS:
        listed = sorted(sorted(figures, key=lambda name: rank(name, figures[name]))[:ROWS])
    left_out = len(figures) - len(listed)
    lines = [
        f"# {result['name']}",
        "",
        *made_by(result),
        "",
        *(["```text", outcome.shown, "```", ""] if outcome.shown else []),
        *([f"![{result['name']}]({result['name']}.svg)", ""] if outcome.picture else []),
        *(f"- {subject}: {how}" for subject, how in result["protocol"].items()),
        "",
        "| figure | value | 95 % interval | n |",
        "|---|--:|---|--:|",
        *(row(name, figures[name]) for name in listed),
    ]
    if left_out:
        lines += ["", f"{left_out} more figures: [{result['name']}.json]({result['name']}.json)."]
    if outcome.failures:
        lines += [
            "",
            "## Failed expectations",
            "",
            *(f"- {failure}" for failure in outcome.failures),
        ]
    return "\n".join(lines) + "\n"


def made_by(result: Mapping[str, Any]) -> list[str]:
    """Command, commit and seeds in a sentence, and what the figures were made of if recorded."""
    how, took = f"Made by `{result['command']}`", f"{result['seconds']:.0f} s"
    where = f"of commit `{result['commit'][:12]}`, {seeds(result['seeds'])}"
    if "provenance" not in result:
        return [f"{how} in {took}, {where}."]
    return [f"{how}, {where}; the last call took {took}.", "", *origin(result["provenance"])]


def origin(provenance: Mapping[str, Any]) -> list[str]:
    """What figures were made of, in a few lines of Markdown."""
    code, settings, data = (provenance[kind] for kind in ("code", "settings", "data"))
    libraries = provenance["libraries"]
    main = [f"{name} {libraries[name]}" for name in MAIN_LIBRARIES if name in libraries]
    others = f" and {len(libraries) - len(main)} more" if len(libraries) > len(main) else ""
    raw = ", ".join(f"`{place}` with MD5 {digest}" for place, digest in data.items())
    here = provenance["machine"]
    return [
        f"- made of: {len(code)} programs, {len(settings)} settings and the libraries below; key "
        f"`{provenance['key'][:12]}`, see `decant bench --status`",
        f"- raw data: {raw or 'generated'}",
        f"- libraries: {', '.join(main)}{others}",
        f"- machine: {here['cpu']}, {here['cores']} cores, {here['platform']}, Python "
        f"{here['python']}",
        *(f"- trained: {training(entry)}" for entry in provenance["trained"]),
    ]


def training(entry: Mapping[str, Any]) -> str:
    """Trainings with the same arithmetic, machine and commit, in one line."""
    how, seconds = entry["arithmetic"], entry["seconds"]
    longest = max(seconds, key=seconds.__getitem__)
    on = entry["machine"]["accelerator"] or entry["machine"]["cpu"]
    commit = f", of commit `{entry['commit'][:12]}`" if entry["commit"] else ""
    threads = f"{how['threads']} thread{'s' * (how['threads'] != 1)}"
    return (
        f"{len(seconds)} model{'s' * (len(seconds) != 1)} in {sum(seconds.values()):,.0f} s, "
        f"`{longest}` the longest with {seconds[longest]:,.0f} s; {how['precision']} on {on}, "
        f"{threads}{commit}"
    )


def seeds(numbers: list[int]) -> str:
    """Seeds in words."""
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def rank(name: str, figure: Figure) -> tuple[bool, int, str]:
    """The order in which people want figures: those with an interval, then general ones, first."""
    return figure["low"] is None, name.count("."), name


def row(name: str, figure: Figure) -> str:
    """A figure as a row of the table."""
    low, high, n = figure["low"], figure["high"], figure["n"]
    interval = "" if low is None or high is None else f"{number(low)} to {number(high)}"
    return f"| `{name}` | {number(figure['value'])} | {interval} | {'' if n is None else n} |"


def number(value: float) -> str:
    """A number with four significant digits, whole numbers in full."""
    return str(int(value)) if value == int(value) else f"{value:.4g}"
