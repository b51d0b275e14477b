"""A contest of students of groups as people see it: a table and a picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Sheet

from benchmarks.experiments.analysis import Contested, kinds_of
from benchmarks.experiments.train_variant import ALL
from benchmarks.experiments.variants import ADAPTERS, FROM_ATTRIBUTES, PRIOR, SEGMENT
from decant.report import plots
from decant.report.results import Figure

DRAWN = (SEGMENT, FROM_ATTRIBUTES, ADAPTERS, PRIOR)  # more could not be told apart


def table(figures: Mapping[str, Figure], found: Contested) -> str:
    """Rivals best first: quality, cost, and gain over the general student, of each segment too."""
    k, segments = found.k, found.members
    kinds = sorted(kinds_of(found), key=lambda kind: -figures[f"rival.{kind}.ndcg@{k}"]["value"])
    width = max(len(name) for name in (*kinds, *segments))
    head = f"NDCG@{k}   HR@{k}  cheaper  gain of all in segments   ships  as good for less"
    lines = [f"{'test window'.ljust(width)}  {head}"]
    for kind in kinds:
        quality = (figures[f"rival.{kind}.{metric}@{k}"]["value"] for metric in ("ndcg", "hr"))
        cells = "  ".join(f"{value:7.4f}" for value in quality)
        fewer, gain = figures.get(f"multiply_adds.fewer.{kind}"), figures.get(f"gain.{kind}.{ALL}")
        cost = f"{fewer['value']:.1f}x" if fewer else ""
        ships = ""
        if kind in found.groups:
            shipped, less = (figures[f"{what}.{kind}"]["value"] for what in ("shipped", "cheaper"))
            ships = f"{shipped:.0f} of {len(found.groups[kind])}"
            ships += f"  {less:.0f} of {len(found.groups[kind])}" if less else ""
        over = f"{cost:>7}  {shown(gain) if gain else '':>23}"
        lines.append(f"{kind.ljust(width)}  {cells}  {over}  {ships}".rstrip())
    lines += ["", *distillation_lines(figures), released_line(figures, k)]
    columns = (SEGMENT, *(kind for kind in kinds if kind in found.groups and kind != SEGMENT))
    lines += ["", f"{'gain'.ljust(width)}  differs  " + "  ".join(f"{c:>23}" for c in columns)]
    for name in sorted(segments, key=lambda name: -figures[f"difference.{name}"]["value"]):
        gains = "  ".join(f"{shown(figures[f'gain.{c}.{name}']):>23}" for c in columns)
        lines.append(f"{name.ljust(width)}  {figures[f'difference.{name}']['value']:7.4f}  {gains}")
    return "\n".join(lines)


def distillation_lines(figures: Mapping[str, Figure]) -> list[str]:
    """What the teacher's knowledge is worth, a line for each pair."""
    lines = []
    for name in ("distillation", "distillation.attributes"):
        gain, closed = figures.get(f"{name}.gain"), figures.get(f"{name}.gap_closed")
        if gain is not None:
            gap = f", {closed['value']:.0%} of the gap to the teacher" if closed else ""
            lines.append(f"{name}: {shown(gain)}{gap}")
    return lines


def released_line(figures: Mapping[str, Figure], k: int) -> str:
    """The family as released, in a line."""
    quality, kept, products, size = (
        figures[f"released.{name}"]
        for name in (f"ndcg@{k}", "retention", "multiply_adds.fewer", "bytes.fewer")
    )
    low, high = kept["low"] or 0.0, kept["high"] or 0.0
    return (
        f"released in int8: NDCG@{k} {quality['value']:.4f}, {kept['value']:.1%} of the teacher's "
        f"[{low:.1%}, {high:.1%}], {products['value']:.1f}x fewer multiply-adds, {size['n']} "
        f"students with {size['value']:.1f}x fewer bytes in all"
    )


def shown(figure: Figure) -> str:
    """A gain in percent, with its interval."""
    low, high = (0.0 if end is None else end for end in (figure["low"], figure["high"]))
    return f"{100 * figure['value']:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def picture(figures: Mapping[str, Figure], segments: list[str]) -> str:
    """Gain per group with its interval, and gain against how much the group differs; an SVG."""
    differ = {name: figures[f"difference.{name}"]["value"] for name in segments}
    order = sorted(segments, key=differ.__getitem__)
    drawn = [kind for kind in DRAWN if f"gain.{kind}.{ALL}" in figures]

    def draw(sheet: Sheet) -> None:
        left, right = sheet.subplots(1, 2)
        for number, kind in enumerate(drawn):
            offset = 0.18 * (number - (len(drawn) - 1) / 2)
            beside = np.ptp(list(differ.values())) * 0.05 * offset  # equal groups stay apart
            for place, name in enumerate(order):
                gain = figures[f"gain.{kind}.{name}"]
                style: dict[str, Any] = {"scale": 100, "tip": f"{kind}, {name}: {shown(gain)}"}
                plots.interval(left, gain, place + offset, number, **style)
                plots.interval(right, gain, differ[name] + beside, number, upright=True, **style)
        left.set_yticks(range(len(order)), [plots.short(name) for name in order])
        left.set_xlabel("gain in NDCG over the general student, %")
        left.axvline(0, color=plots.SOFT, linewidth=0.9)
        right.set_xlabel("difference of the group's items from all others', bits")
        right.set_ylabel("gain, %")
        right.axhline(0, color=plots.SOFT, linewidth=0.9)
        plots.legend(sheet, [(kind, plots.marks(number)) for number, kind in enumerate(drawn)])

    title = f"Gain of {len(drawn)} student variants over general in {len(order)} user groups"
    return plots.svg((11, 1.6 + 0.5 * len(order)), draw, title, standalone=True)
