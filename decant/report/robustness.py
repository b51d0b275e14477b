"""Curves of quality against noise: figures with intervals, a table, a picture.

A figure is named `robustness.MODEL.KIND.PERCENT`, its value NDCG; the same name with `.kept` is the
share of what the model has on clean histories, `robustness.MODEL.clean` that NDCG.
"""

import io
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from decant.evaluation.evaluate import RELEASED
from decant.evaluation.intervals import CHUNK
from decant.evaluation.robustness import CLEAN, Curves
from decant.params.types import TEACHER
from decant.report.scores import FAMILY, Figure, Scores, with_interval

PREFIX, KEPT = "robustness", "kept"
PANELS = {
    "insert": "events of others inserted",
    "drop": "events lost",
    "shuffle": "events out of order",
}
COLOURS = (
    "#0b57a4", "#b34700", "#0b6b4f", "#9a2a7a", "#6b5300", "#4b3fb3", "#007082", "#9c1c2c",
)  # fmt: skip
NAME = re.compile(rf"{PREFIX}\.(?P<model>.+)\.(?P<kind>[a-z]+)\.(?P<percent>\d+)")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours, 56 lines that differ
ALIKE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": PREFIX,
}
Figures = dict[str, Figure]


class Point(NamedTuple):
    """One place on a curve: the share of noise, and NDCG there."""

    share: float
    figure: Figure


Lines = dict[str, dict[str, list[Point]]]  # kind -> model -> points from clean on


def short(model: str) -> str:
    """A model's name in a figure's: `teacher`, `family`, `general`, `baseline.popularity`."""
    name, _, hop = model.partition("/")
    return name if hop or name in (TEACHER, FAMILY) else f"baseline.{name}"


def figures(measured: Mapping[str, Curves], scores: Scores) -> Figures:
    """Every curve as figures; `scores` says whose the cases are and who is served by whom."""
    found: Figures = {}
    for model, levels in {**measured, **family(measured, scores)}.items():
        known = ~np.isnan(levels[CLEAN, 0.0])
        if known.any():
            found |= of_model(short(model), levels, known, scores)
    return found


def of_model(model: str, levels: Curves, known: np.ndarray, scores: Scores) -> Figures:
    """One model's figures, over its `known` cases, bool [C]; resampled by user."""
    values = np.stack([level[known] for level in levels.values()], axis=1)
    inverse = np.unique(scores.users[known], return_inverse=True)[1]
    users = int(inverse.max()) + 1
    sums = np.stack([np.bincount(inverse, column) for column in values.T], axis=1)
    cases = np.bincount(inverse)[:, None].astype(np.float64)
    drawn = resampled(np.hstack([sums, cases]), scores.resamples, scores.seed)
    clean = list(levels).index((CLEAN, 0.0))
    found = {}
    for number, (kind, share) in enumerate(levels):
        name = f"{PREFIX}.{model}.{kind}"
        if kind != CLEAN:
            name += f".{round(100 * share):02d}"
            kept = sums[:, [number, clean]].sum(axis=0)
            if kept[1] > 0:
                spread = drawn[:, number] / np.where(drawn[:, clean] > 0, drawn[:, clean], np.nan)
                found[f"{name}.{KEPT}"] = with_interval(float(kept[0] / kept[1]), spread, users)
        mean = float(values[:, number].mean())
        found[name] = with_interval(mean, drawn[:, number] / drawn[:, -1], users)
    return found


def resampled(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap over users of the sums of some columns, float [V, M] → [R, M]; every column is of
    the same draws, so that their ratios are paired."""
    users, rng = len(sums), np.random.default_rng(seed)
    found = []
    for done in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - done)
        drawn = rng.integers(0, users, (rows, users)) + users * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        found.append(times.astype(np.float64) @ sums)
    return np.concatenate(found)


def family(measured: Mapping[str, Curves], scores: Scores) -> dict[str, Curves]:
    """The family as released: everybody under the student that serves them."""
    students = {name: curves for name, curves in measured.items() if name.endswith(f"/{RELEASED}")}
    if not students:
        return {}
    levels = next(iter(students.values()))
    served = {}
    for level in levels:
        models = {name: curves[level] for name, curves in students.items()}
        values = Scores(
            scores.users, models, scores.members, scores.serving, scores.resamples, scores.seed
        ).family()
        if values is None:
            return {}
        served[level] = values
    return {FAMILY: served}


def lines(found: Mapping[str, Figure]) -> Lines:
    """Figures as curves: those of each kind by model, the best on clean histories first."""
    clean = {
        name.removeprefix(f"{PREFIX}.").removesuffix(f".{CLEAN}"): figure
        for name, figure in found.items()
        if name.endswith(f".{CLEAN}")
    }
    best_first = sorted(clean, key=lambda model: -clean[model]["value"])
    kinds: Lines = {}
    for name in sorted(found):
        match = NAME.fullmatch(name)
        if match:
            of_kind = kinds.setdefault(match["kind"], {m: [Point(0, clean[m])] for m in best_first})
            of_kind[match["model"]].append(Point(int(match["percent"]) / 100, found[name]))
    return {kind: kinds[kind] for kind in [*PANELS, *kinds] if kind in kinds}


def table(found: Mapping[str, Figure], k: int) -> str:
    """The curves as text: NDCG on clean histories, then how much of it is kept."""
    blocks = []
    for kind, models in lines(found).items():
        shares = [point.share for point in next(iter(models.values()))[1:]]
        head = f"{PANELS.get(kind, kind):<28}{f'NDCG@{k}':>9}"
        head += "".join(f"{f'{share:.0%} noise':>11}" for share in shares)
        rows = []
        for model, points in models.items():
            clean = points[0].figure["value"]
            kept = (point.figure["value"] / clean if clean else np.nan for point in points[1:])
            row = f"{model:<28}{clean:>9.4f}" + "".join(f"{100 * v:>9.1f} %" for v in kept)
            rows.append(row)
        blocks.append("\n".join([head, "-" * len(head), *rows]))
    return "\n\n".join(blocks)


def picture(found: Mapping[str, Figure], k: int, without: Collection[str] = ()) -> str:
    """The curves as an SVG: a panel for each kind, a line with its interval for each model.

    `without`: models that are left out, those that are measured on some users alone.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Sheet

    kinds = lines(found)
    names = [name for name in next(iter(kinds.values()), {}) if name not in without]
    with rc_context(ALIKE):
        sheet = Sheet(figsize=(11, 4.2), layout="constrained")
        panels = sheet.subplots(1, max(len(kinds), 1), sharey=True, squeeze=False)[0]
        for axes, (kind, models) in zip(panels, kinds.items(), strict=False):
            for number, name in enumerate(names):
                draw(axes, name, models[name], number)
            axes.set_title(PANELS.get(kind, kind), fontsize=11)
            axes.set_xlabel("share of noise, %")
            axes.grid(color="#d4d8de", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel(f"NDCG@{k}")
        handles, labels = panels[0].get_legend_handles_labels()
        sheet.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
        content = io.StringIO()
        sheet.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def draw(axes: Any, name: str, points: list[Point], number: int) -> None:
    """One model's line, its interval shaded; a baseline's is thin and dashed."""
    across = [100 * point.share for point in points]
    values = [point.figure["value"] for point in points]
    low, high = (
        [
            v if (end := point.figure[side]) is None else end
            for point, v in zip(points, values, strict=True)
        ]
        for side in ("low", "high")
    )
    baseline = name.startswith("baseline.")
    axes.plot(
        across,
        values,
        color=COLOURS[number % len(COLOURS)],
        linestyle="--" if baseline else "-",
        linewidth=1.2 if baseline else 2.2,
        marker=MARKERS[number % len(MARKERS)],
        markersize=4,
        label=name.removeprefix("baseline."),
    )
    colour = COLOURS[number % len(COLOURS)]
    axes.fill_between(across, low, high, color=colour, alpha=0.12, linewidth=0)
