"""A comparison of students as people see it: tables and a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Sheet

from benchmarks.experiments.student_scores import Scores
from benchmarks.experiments.variants import SEGMENT
from decant.evaluation.evaluate import ALL
from decant.report import plots
from decant.report.results import Figure

DRAWN = (SEGMENT, "from_attributes", "adapters", "prior")  # more could not be told apart


def table(figures: Mapping[str, Figure], scores: Scores) -> str:
    """Kinds, best first: quality, cost, and gain over the general student, of each segment too."""
    k, groups = scores.k, scores.comparison.groups
    kinds = sorted(scores.kinds, key=lambda kind: -figures[f"student.{kind}.ndcg@{k}"]["value"])
    width = max(len(name) for name in (*kinds, *scores.members))
    head = f"NDCG@{k}   HR@{k}  cheaper  gain of all in segments  accepted  as good for less"
    lines = [f"{'test window'.ljust(width)}  {head}"]
    for kind in kinds:
        quality = (figures[f"student.{kind}.{metric}@{k}"]["value"] for metric in ("ndcg", "hr"))
        cells = "  ".join(f"{value:7.4f}" for value in quality)
        fewer, gain = figures.get(f"multiply_adds.fewer.{kind}"), figures.get(f"gain.{kind}.{ALL}")
        cost = f"{fewer['value']:.1f}x" if fewer else ""
        accepted = ""
        if kind in groups:
            counts = (figures[f"{what}.{kind}"]["value"] for what in ("accepted", "cheaper"))
            accepted, less = (f"{count:.0f} of {len(scores.members)}" for count in counts)
            accepted += f"    {less}" if figures[f"cheaper.{kind}"]["value"] else ""
        over = f"{cost:>7}  {shown(gain) if gain else '':>23}"
        lines.append(f"{kind.ljust(width)}  {cells}  {over}  {accepted}".rstrip())
    lines += ["", *distillation_lines(figures), released_line(figures, k)]
    lines += ["", f"{'gain'.ljust(width)}  differs  " + "  ".join(f"{c:>23}" for c in groups)]
    for name in sorted(scores.members, key=lambda n: -figures[f"difference.{n}"]["value"]):
        gains = "  ".join(f"{shown(figures[f'gain.{c}.{name}']):>23}" for c in groups)
        lines.append(f"{name.ljust(width)}  {figures[f'difference.{name}']['value']:7.4f}  {gains}")
    return "\n".join(lines)


def losses_table(figures: Mapping[str, Figure], kinds: Sequence[str], k: int) -> str:
    """All losses, best first."""
    quality = {kind: figures[f"{kind}.validation.ndcg@{k}"]["value"] for kind in kinds}
    width = max(map(len, quality))
    lines = [f"{'validation'.ljust(width)}  NDCG@{k}  gain over hard labels"]
    for kind in sorted(quality, key=lambda kind: -quality[kind]):
        gain = figures.get(f"{kind}.gain")
        lines.append(
            f"{kind.ljust(width)}  {quality[kind]:7.4f}  {shown(gain) if gain else ''}".rstrip()
        )
    return "\n".join(lines)


def distillation_lines(figures: Mapping[str, Figure]) -> list[str]:
    """What the teacher's knowledge is worth, a line for each pair of students."""
    lines = []
    for name in [n for n in figures if n.startswith("distillation.") and n.endswith(".gain")]:
        taught = name.removeprefix("distillation.").removesuffix(".gain")
        closed = figures.get(f"distillation.{taught}.gap_closed")
        gap = f", {closed['value']:.0%} of the gap to the teacher" if closed else ""
        lines.append(f"distillation of {taught}: {shown(figures[name])}{gap}")
    return lines


def released_line(figures: Mapping[str, Figure], k: int) -> str:
    """The family as released, in a line."""
    quality, kept, products, size = (
        figures[f"family.{name}"]
        for name in (f"ndcg@{k}", "retention", "multiply_adds.fewer", "bytes.fewer")
    )
    low, high = kept["low"] or 0.0, kept["high"] or 0.0
    return (
        f"family in int8: NDCG@{k} {quality['value']:.4f}, {kept['value']:.1%} of the teacher's "
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
