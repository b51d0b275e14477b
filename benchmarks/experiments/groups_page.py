"""Presentation of a comparison of students: tables and a plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Sheet

from benchmarks.experiments.student_scores import Scores
from benchmarks.experiments.variants import SEGMENT
from decant.evaluation.evaluate import ALL
from decant.report import plots
from decant.report.results import Figure

DRAWN = (SEGMENT, "shrunk", "from_attributes", "prior")  # more would be indistinguishable


def table(figures: Mapping[str, Figure], scores: Scores, window: str) -> str:
    """Variants, best first: quality, cost, and gain over general, also by segment."""
    k, groups = scores.k, scores.comparison.groups
    variants = sorted(
        scores.variants, key=lambda variant: -figures[f"student.{variant}.ndcg@{k}"]["value"]
    )
    width = max(len(name) for name in (*variants, *scores.members))
    gains = f"{'gain of all':>23}  {'gain of accepted':>23}"
    head = f"NDCG@{k}   HR@{k}  cheaper  {gains}  accepted  as good for less"
    lines = [f"{f'{window} window'.ljust(width)}  {head}"]
    for variant in variants:
        quality = (figures[f"student.{variant}.{metric}@{k}"]["value"] for metric in ("ndcg", "hr"))
        cells = "  ".join(f"{value:7.4f}" for value in quality)
        fewer, *gained = (
            figures.get(name)
            for name in (
                f"multiply_adds.fewer.{variant}",
                f"gain.{variant}.{ALL}",
                f"accepted.{variant}.gain",
            )
        )
        cost = f"{fewer['value']:.1f}x" if fewer else ""
        accepted = ""
        if variant in groups:
            counts = (figures[f"{what}.{variant}"]["value"] for what in ("accepted", "cheaper"))
            accepted, less = (f"{count:.0f} of {len(scores.members)}" for count in counts)
            accepted += f"    {less}" if figures[f"cheaper.{variant}"]["value"] else ""
        over = "  ".join([f"{cost:>7}", *(f"{shown(g) if g else '':>23}" for g in gained)])
        lines.append(f"{variant.ljust(width)}  {cells}  {over}  {accepted}".rstrip())
    lines += ["", *distillation_lines(figures), released_line(figures, k)]
    lines += ["", f"{'gain'.ljust(width)}  differs  " + "  ".join(f"{c:>23}" for c in groups)]
    for name in sorted(scores.members, key=lambda n: -figures[f"difference.{n}"]["value"]):
        gains = "  ".join(f"{shown(figures[f'gain.{c}.{name}']):>23}" for c in groups)
        lines.append(f"{name.ljust(width)}  {figures[f'difference.{name}']['value']:7.4f}  {gains}")
    return "\n".join(lines)


def losses_table(figures: Mapping[str, Figure], variants: Sequence[str], k: int) -> str:
    """All losses, best first."""
    quality = {variant: figures[f"{variant}.validation.ndcg@{k}"]["value"] for variant in variants}
    width = max(map(len, quality))
    lines = [f"{'validation'.ljust(width)}  NDCG@{k}  gain over hard labels"]
    for variant in sorted(quality, key=lambda variant: -quality[variant]):
        gain = figures.get(f"{variant}.gain")
        cells = f"{quality[variant]:7.4f}  {shown(gain) if gain else ''}"
        lines.append(f"{variant.ljust(width)}  {cells}".rstrip())
    return "\n".join(lines)


def distillation_lines(figures: Mapping[str, Figure]) -> list[str]:
    """Gain from distillation, a line for each pair of students."""
    lines = []
    for name in [n for n in figures if n.startswith("distillation.") and n.endswith(".gain")]:
        student = name.removeprefix("distillation.").removesuffix(".gain")
        closed = figures.get(f"distillation.{student}.gap_closed")
        gap = f", {closed['value']:.0%} of the gap to the teacher" if closed else ""
        lines.append(f"distillation of {student}: {shown(figures[name])}{gap}")
    return lines


def released_line(figures: Mapping[str, Figure], k: int) -> str:
    """The family as released, in one line."""
    quality, retention, products, size = (
        figures[f"family.{name}"]
        for name in (f"ndcg@{k}", "retention", "multiply_adds.fewer", "bytes.fewer")
    )
    low, high = retention["low"] or 0.0, retention["high"] or 0.0
    return (
        f"family in int8: NDCG@{k} {quality['value']:.4f}, {retention['value']:.1%} of the "
        f"teacher's [{low:.1%}, {high:.1%}], {products['value']:.1f}x fewer multiply-adds, "
        f"{size['n']} students with {size['value']:.1f}x fewer bytes in all"
    )


def shown(figure: Figure) -> str:
    """A gain in percent, with its interval."""
    low, high = (0.0 if end is None else end for end in (figure["low"], figure["high"]))
    return f"{100 * figure['value']:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def picture(figures: Mapping[str, Figure], segments: list[str]) -> str:
    """Gain per group with its interval, and gain against the group's difference; an SVG."""
    differ = {name: figures[f"difference.{name}"]["value"] for name in segments}
    order = sorted(segments, key=differ.__getitem__)
    drawn = [variant for variant in DRAWN if f"gain.{variant}.{ALL}" in figures]

    def draw(sheet: Sheet) -> None:
        left, right = sheet.subplots(1, 2)
        for number, variant in enumerate(drawn):
            offset = 0.18 * (number - (len(drawn) - 1) / 2)
            beside = (
                np.ptp(list(differ.values())) * 0.05 * offset
            )  # separates groups of equal difference
            for place, name in enumerate(order):
                gain = figures[f"gain.{variant}.{name}"]
                style: dict[str, Any] = {"scale": 100, "tip": f"{variant}, {name}: {shown(gain)}"}
                plots.interval(left, gain, place + offset, number, **style)
                plots.interval(right, gain, differ[name] + beside, number, upright=True, **style)
        left.set_yticks(range(len(order)), [plots.short(name) for name in order])
        left.set_xlabel("gain in NDCG over the general student, %")
        left.axvline(0, color=plots.SOFT, linewidth=0.9)
        right.set_xlabel("difference of the group's items from all others', bits")
        right.set_ylabel("gain, %")
        right.axhline(0, color=plots.SOFT, linewidth=0.9)
        plots.legend(
            sheet, [(variant, plots.marks(number)) for number, variant in enumerate(drawn)]
        )

    title = f"Gain of {len(drawn)} student variants over general in {len(order)} user groups"
    return plots.svg((11, 1.6 + 0.5 * len(order)), draw, title, standalone=True)
