"""A comparison of students as people see it: tables and a picture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.experiments.student_scores import Scores
from benchmarks.experiments.variants import SEGMENT
from decant.evaluation.evaluate import ALL
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
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Sheet

    from decant.report.robustness import ALIKE, COLOURS, MARKERS

    order = sorted(segments, key=lambda name: figures[f"difference.{name}"]["value"])
    with rc_context(ALIKE):
        sheet = Sheet(figsize=(11, 1.6 + 0.5 * len(order)), layout="constrained")
        left, right = sheet.subplots(1, 2)
        drawn = [kind for kind in DRAWN if f"gain.{kind}.{ALL}" in figures]
        for number, kind in enumerate(drawn):
            style: dict[str, Any] = {
                "color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
                "linestyle": "none", "markersize": 5, "elinewidth": 1.1,
            }  # fmt: skip
            of = [figures[f"gain.{kind}.{name}"] for name in order]
            middle = np.array([100 * figure["value"] for figure in of])
            ends = np.array([[100 * (f["low"] or 0), 100 * (f["high"] or 0)] for f in of])
            bars = np.abs(ends - middle[:, None]).T
            offset = 0.18 * (number - (len(drawn) - 1) / 2)
            left.errorbar(middle, np.arange(len(order)) + offset, xerr=bars, label=kind, **style)
            differ = [figures[f"difference.{name}"]["value"] for name in order]
            beside = np.ptp(differ) * 0.05 * offset  # groups that differ as much stay apart
            right.errorbar(np.array(differ) + beside, middle, yerr=bars, **style)
        left.set_yticks(np.arange(len(order)), order)
        left.set_xlabel("gain in NDCG over the general student, %")
        right.set_xlabel("how much the group's items differ from all others', bits")
        right.set_ylabel("gain, %")
        for axes in (left, right):
            axes.grid(color="#d4d8de", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        left.axvline(0, color="#444", linewidth=0.8)
        right.axhline(0, color="#444", linewidth=0.8)
        sheet.legend(
            *left.get_legend_handles_labels(), frameon=False, fontsize=9,
            loc="outside upper center", ncols=len(drawn),
        )  # fmt: skip
        content = io.StringIO()
        sheet.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()
