"""Readable comparison of two runs: changes, gain of each group, costs."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from decant.diff.layout import Section
from decant.diff.quality import BETTER, FEW, NOISE, SAME, UNKNOWN, WORSE
from decant.evaluation.evaluate import ALL
from decant.evaluation.lookup import divide
from decant.features.sequences import TEST, VALIDATION
from decant.params.types import TEACHER
from decant.release.records import explain_check
from decant.report import formats
from decant.report.scores import FAMILY

NONE = "-"
LONGEST = 48  # characters of a setting's value
SHOWN = 3  # settings, and upstream stages, in the causes of one stage
MEASURES: dict[str, tuple[str, Callable[[float | None], str]]] = {  # costs: heading, formatter
    "bytes": ("size", formats.size),
    "multiply_adds": ("multiply-adds", formats.count),
    "p50_us": ("p50", formats.duration),
    "trained_on": ("trained on", formats.count),
}
Document = Mapping[str, Any]


def sections(document: Document) -> list[Section]:
    """All sections of the page, the conclusion first."""
    quality = [quality_section(document, window) for window in (TEST, VALIDATION)]
    parts = [
        Section("A and B", lines=sides(document)),
        Section("In short, test window", lines=list(conclusion(document))),
        settings_section(document["settings"]),
        stages_section(document),
        *quality,
        costs_section(document["costs"]),
        gate_section(document["gate"]),
        Section("Notes", lines=[*document["quality"]["notes"], *document["notes"]]),
    ]
    return [part for part in parts if part.rows or part.lines]


def sides(document: Document) -> list[str]:
    """Both sides, and the release that each is or would be."""
    lines = [
        f"{letter}  {document[key]['name']}: {document[key]['title']}"
        for letter, key in (("A", "a"), ("B", "b"))
    ]
    a, b = (document[key]["release"] for key in ("a", "b"))
    if a and a == b:
        others = document["settings"]
        what = "models and data; settings differ" if others else "models, settings and data"
        return [*lines, f"both are release {a}: the same {what}"]
    return [*lines, f"release {a or 'unknown'} → {b or 'unknown'}"]


def conclusion(document: Document) -> Iterator[str]:
    """A line each on the family on the test window, the groups by verdict, costs and gate."""
    rows = [
        row
        for row in document["quality"]["rows"]
        if (row["window"], row["model"]) == (TEST, FAMILY)
    ]
    quality = document["quality"]
    measure = f"NDCG@{quality['k']} ({mean(quality)})"
    for row in rows:
        if row["group"] == ALL:
            yield f"family, {measure}: {number(row['a'])} → {number(row['b'])}, {gain_of(row)}"
    for verdict in (BETTER, WORSE, NOISE, SAME, FEW):
        names = [r["group"] for r in rows if r["group"] != ALL and r["verdict"] == verdict]
        if names:
            yield f"{verdict}: {', '.join(names)}"
    family = next((row for row in document["costs"] if row["model"] == FAMILY), None)
    if family:
        yield f"size of the family {pair(family['bytes'], formats.size)}"
    trained = [total(document["costs"], side) for side in (0, 1)]
    if all(trained):
        yield f"all models together trained on {pair(trained, formats.count)} predictions"
    yield f"gate {word(document['gate']['a'])} → {word(document['gate']['b'])}"


def total(costs: Sequence[Mapping[str, Any]], side: int) -> float | None:
    """Training predictions of all models of a side; None if one is unknown."""
    known = [row["trained_on"][side] for row in costs if row["model"] != FAMILY]
    return sum(known) if known and None not in known else None


def gain_of(row: Mapping[str, Any]) -> str:
    """A row's gain with its interval, and the verdict."""
    if row["gain"] is None:
        return "not comparable"
    bounds = interval(row)
    return f"{formats.gain(row['gain'])}{f' {bounds}' if bounds else ''}, {row['verdict']}"


def settings_section(settings: Sequence[Mapping[str, Any]]) -> Section:
    """The settings that differ."""
    title = "Settings that differ"
    if not settings:
        return Section(title, lines=["none"])
    rows = [[row["key"], value(row["a"]), value(row["b"])] for row in settings]
    return Section(title, ("setting", "A", "B"), rows, "lll")


def stages_section(document: Document) -> Section:
    """The stages that ran and why, upstream first; students of one step share a line."""
    same = document["unchanged"]
    lines = [f"unchanged: {', '.join(grouped(same))}"] if same else []
    by_reason: dict[tuple[str, ...], list[str]] = {}
    for change in document["stages"]:
        step, _, student = change["stage"].partition("@")
        by_reason.setdefault((step, why(change, student), result(change)), []).append(student)
    rows = [
        [", ".join(grouped(f"{step}@{student}".rstrip("@") for student in students)), *rest]
        for (step, *rest), students in by_reason.items()
    ]
    title = "Stages that ran"
    if not rows:
        return Section(title, lines=["none", *lines])
    return Section(title, ("stage", "cause", "output"), rows, "lll", lines)


def why(change: Mapping[str, Any], student: str) -> str:
    """The causes of one stage: its own, then upstream stages."""
    if change["status"] != "ran":
        return str(change["status"])
    of_student = [name for name in change["after"] if student and name.endswith(f"@{student}")]
    upstream = grouped([name for name in change["after"] if name not in of_student])
    of_student = [f"its own {name.partition('@')[0]}" for name in of_student]
    causes = [", ".join(shortened(change["causes"]))] if change["causes"] else []
    causes += [f"after {', '.join(shortened([*of_student, *upstream]))}"] if change["after"] else []
    return "; ".join(causes) or "the same inputs"


def result(change: Mapping[str, Any]) -> str:
    """The output of a stage compared with before, in one word."""
    if change["status"] != "ran":
        return NONE
    return "the same" if change["same_output"] else "changed"


def grouped(names: Iterable[str]) -> list[str]:
    """Names of stages, with the students of a step grouped into one name."""
    steps: dict[str, list[str]] = {}
    for name in names:
        steps.setdefault(name.partition("@")[0], []).append(name)
    return [
        members[0] if len(members) == 1 else f"{step} ({len(members)} students)"
        for step, members in steps.items()
    ]


def shortened(names: Sequence[str]) -> list[str]:
    """The first few names, and the number of the others."""
    rest = len(names) - SHOWN
    return [*names[:SHOWN], *([f"{rest} more"] if rest > 0 else [])]


def quality_section(document: Document, window: str) -> Section:
    """The figures of one window: the family by group, the teacher on all users."""
    quality = document["quality"]
    rows = [
        [
            f"{row['model']}, {'all users' if row['group'] == ALL else row['group']}",
            number(row["a"]),
            number(row["b"]),
            NONE if row["gain"] is None or row["verdict"] == SAME else formats.gain(row["gain"]),
            interval(row),
            NONE if row["users"] is None else formats.count(row["users"]),
            row["verdict"],
        ]
        for row in quality["rows"]
        if row["window"] == window and (row["model"] == FAMILY or row["group"] == ALL)
    ]
    head = (f"NDCG@{quality['k']}", "A", "B", "gain", "95 % interval", "users", "")
    last = all(row["window"] in (TEST, window) for row in quality["rows"])
    lines = legend(quality) if rows and last else []
    return Section(f"Quality, {window}: NDCG@{quality['k']}", head, rows, "lrrrlrl", lines)


def mean(quality: Mapping[str, Any]) -> str:
    """What the figures are means of."""
    return "mean over users" if quality["paired"] else "as recorded"


def legend(quality: Mapping[str, Any]) -> list[str]:
    """Notes on the figures, below their last table."""
    if not quality["paired"]:
        return ["as recorded by each run; earlier versions recorded means over cases"]
    return [
        "means over users, on the cases that both runs have",
        "intervals are paired by user",
        "intervals are not corrected for multiplicity: 1 in 20 excludes 0 by chance",
    ]


def costs_section(costs: Sequence[Mapping[str, Any]]) -> Section:
    """Size, multiply-adds and time of each model, A → B where they differ."""
    rows = [
        [row["model"], *(pair(row[name], show) for name, (_, show) in MEASURES.items())]
        for row in costs
    ]
    by_name = {row["model"]: row for row in costs}
    if TEACHER in by_name and FAMILY in by_name:
        teacher, family = by_name[TEACHER], by_name[FAMILY]
        ratios = {
            name: [divide(a, b) for a, b in zip(teacher[name], family[name], strict=True)]
            for name in MEASURES
        }
        rows.append(["teacher ÷ family", *(pair(ratios[name], formats.times) for name in MEASURES)])
    head = ("model", *(heading for heading, _ in MEASURES.values()))
    lines = [
        "family: total bytes of its students, multiply-adds and time of the most expensive one",
        "p50 is measured, and differs between machines and runs",
        "trained on: predictions over all epochs",
    ]
    return Section("Costs", head, rows, "lrrrr", lines if rows else [])


def gate_section(gate: Mapping[str, Any]) -> Section:
    """Both verdicts, failed checks, and the groups served by another model."""
    lines = [f"{word(gate['a'])} → {word(gate['b'])}"]
    for letter in ("a", "b"):
        failed = (gate[letter] or {}).get("failed", [])
        lines += [f"{letter.upper()} failed {explain_check(check)}" for check in failed]
    lines += [
        f"{row['group']} is served by {row['a'] or 'none'} → {row['b'] or 'none'}"
        + (f": {row['reason']}" if row["reason"] else "")
        for row in gate["serving"]
    ]
    return Section("Gate", lines=lines)


def word(verdict: Mapping[str, Any] | None) -> str:
    """A verdict in a few words."""
    if verdict is None:
        return "unknown"
    checks = verdict["checks"]
    if verdict["passed"]:
        return f"passed, {checks} checks"
    return f"FAILED, {len(verdict['failed'])} of {checks} checks"


def interval(row: Mapping[str, Any]) -> str:
    """The interval of a gain, empty if there is none."""
    if row["low"] is None or row["verdict"] in (SAME, UNKNOWN):
        return ""
    return f"[{formats.gain(row['low'])}, {formats.gain(row['high'])}]"


def pair(values: Sequence[float | None], show: Callable[[float | None], str]) -> str:
    """The values of both sides, or one if they are equal."""
    before, now = (NONE if side is None else show(side) for side in values)
    return now if before == now else f"{before} → {now}"


def number(quality: float | None) -> str:
    """A metric between 0 and 1."""
    return NONE if quality is None else f"{quality:.4f}"


def value(setting: Any) -> str:
    """A setting's value on one line."""
    text = (
        setting
        if isinstance(setting, str)
        else json.dumps(setting, ensure_ascii=False, default=str)
    )
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
