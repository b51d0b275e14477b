"""Curves of quality against noise: figures with intervals, a table, a plot.

`robustness.MODEL.KIND.PERCENT` is NDCG; with `.kept` appended, its share of the same model's NDCG
on clean histories, which is `robustness.MODEL.clean`.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from decant.evaluation.evaluate import RELEASED
from decant.evaluation.intervals import CHUNK
from decant.evaluation.metrics import user_means
from decant.evaluation.robustness import CLEAN, Curves
from decant.params.types import TEACHER
from decant.report import plots
from decant.report.results import Figure
from decant.report.scores import FAMILY, Scores, with_interval

PREFIX, KEPT = "robustness", "kept"
PANELS = {
    "insert": "events of other users inserted",
    "drop": "events lost",
    "shuffle": "events out of order",
}
NAME = re.compile(rf"{PREFIX}\.(?P<model>.+)\.(?P<kind>[a-z]+)\.(?P<percent>\d+)")
Figures = dict[str, Figure]


class Point(NamedTuple):
    """One point of a curve: the share of noise, and NDCG."""

    share: float
    figure: Figure


Lines = dict[str, dict[str, list[Point]]]  # kind -> model -> points, starting with clean


def short(model: str) -> str:
    """A model's name within figure names: `teacher`, `family`, `general`, `baseline.popularity`."""
    name, _, hop = model.partition("/")
    return name if hop or name in (TEACHER, FAMILY) else f"baseline.{name}"


def figures(measured: Mapping[str, Curves], scores: Scores) -> Figures:
    """Every curve as figures; `scores`: users of the cases, and the student of each segment."""
    curves: Figures = {}
    for model, levels in {**measured, **family(measured, scores)}.items():
        known = ~np.isnan(levels[CLEAN, 0.0])
        if known.any():
            curves |= model_figures(short(model), levels, known, scores)
    return curves


def model_figures(model: str, levels: Curves, known: np.ndarray, scores: Scores) -> Figures:
    """One model's figures, over its `known` cases, bool [C]; resampled by user."""
    values = np.stack([level[known] for level in levels.values()], axis=1)
    means = np.stack([user_means(v, scores.users[known])[1] for v in values.T], axis=1)
    users = len(means)
    drawn = resampled(means, scores.resamples, scores.seed)
    clean = list(levels).index((CLEAN, 0.0))
    curves = {}
    for number, (kind, share) in enumerate(levels):
        name = f"{PREFIX}.{model}.{kind}"
        if kind != CLEAN:
            name += f".{round(100 * share):02d}"
            kept = means[:, [number, clean]].sum(axis=0)
            if kept[1] > 0:
                spread = drawn[:, number] / np.where(drawn[:, clean] > 0, drawn[:, clean], np.nan)
                curves[f"{name}.{KEPT}"] = with_interval(float(kept[0] / kept[1]), spread, users)
        mean = float(means[:, number].mean())
        curves[name] = with_interval(mean, drawn[:, number] / users, users)
    return curves


def resampled(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Bootstrap over users of column sums of the users' means, float [V, M] → [R, M].

    All columns share the draws, so that their ratios are paired.
    """
    users, rng = len(sums), np.random.default_rng(seed)
    parts = []
    for done in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - done)
        drawn = rng.integers(0, users, (rows, users)) + users * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        parts.append(times.astype(np.float64) @ sums)
    return np.concatenate(parts)


def family(measured: Mapping[str, Curves], scores: Scores) -> dict[str, Curves]:
    """The family as released: each user is served by their segment's student."""
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


def lines(curves: Mapping[str, Figure]) -> Lines:
    """Figures as curves: by kind and model, the best on clean histories first."""
    clean = {
        name.removeprefix(f"{PREFIX}.").removesuffix(f".{CLEAN}"): figure
        for name, figure in curves.items()
        if name.endswith(f".{CLEAN}")
    }
    best_first = sorted(clean, key=lambda model: -clean[model]["value"])
    kinds: Lines = {}
    for name in sorted(curves):
        match = NAME.fullmatch(name)
        if match:
            models = kinds.setdefault(match["kind"], {m: [Point(0, clean[m])] for m in best_first})
            models[match["model"]].append(Point(int(match["percent"]) / 100, curves[name]))
    return {kind: kinds[kind] for kind in [*PANELS, *kinds] if kind in kinds}


def table(curves: Mapping[str, Figure], k: int) -> str:
    """The curves as text: NDCG on clean histories, then the retained shares."""
    blocks = []
    for kind, models in lines(curves).items():
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


def picture(curves: Mapping[str, Figure], k: int, without: Collection[str] = ()) -> str:
    """The curves as an SVG: a panel for each kind, a line with its interval for each model.

    `without`: models to leave out, because they are measured on a subset of users.
    """
    kinds = lines(curves)
    names = [name for name in next(iter(kinds.values()), {}) if name not in without]

    def draw(sheet: Sheet) -> None:
        panels = sheet.subplots(1, max(len(kinds), 1), sharey=True, squeeze=False)[0]
        for axes, (kind, models) in zip(panels, kinds.items(), strict=False):
            for number, name in enumerate(names):
                draw_curve(axes, name, models[name], number)
            axes.set_title(PANELS.get(kind, kind))
            axes.set_xlabel("share of noise, %")
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel(f"NDCG@{k}")
        shown = [plots.short(name.removeprefix("baseline.")) for name in names]
        sheet.legend(panels[0].get_lines(), shown, loc="outside right center")

    title = f"NDCG@{k} of {len(names)} models against the share of noise in histories"
    return plots.svg((11, 4.2), draw, title, standalone=True)


def draw_curve(axes: Axes, name: str, points: list[Point], number: int) -> None:
    """One model's line, its interval shaded; a baseline's is thin and dashed."""
    across = [100 * point.share for point in points]
    values, low, high = zip(*(plots.ends(point.figure) for point in points), strict=True)
    baseline = name.startswith("baseline.")
    style = plots.marks(number, tip=name) | {"markersize": 4, "linewidth": 1.2 if baseline else 2.2}
    axes.plot(across, values, linestyle="--" if baseline else "-", **style)
    axes.fill_between(across, low, high, color=plots.colour(number), alpha=0.12, linewidth=0)
