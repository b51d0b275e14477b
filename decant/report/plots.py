"""SVG plots in one style, with colours that follow the reader's light or dark scheme."""

import io
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D

from decant.report.results import Figure

CSS = files("decant.report").joinpath("templates/picture.css").read_text(encoding="utf-8")
LIGHT = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", CSS.partition("@media")[0]))
VARIABLES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
COLOURS = [colour for name, colour in LIGHT.items() if re.fullmatch(r"c\d", name)]
INK, SOFT, PAGE = LIGHT["ink"], LIGHT["soft"], LIGHT["page"]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # with the colours, 56 distinct series
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # bundled with matplotlib: the same layout everywhere
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # no math mode for a `$` in a name
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
}
TIP = "tip: "  # prefix of the id of a shape with a tooltip
WIDTH = 5.8  # inches, of a plot in a page
LONGEST = 18  # characters of a name beside a plot
RULE: dict[str, Any] = {"color": SOFT, "linewidth": 0.9, "linestyle": (0, (5, 4))}


def svg(
    size: tuple[float, float],
    draw: Callable[[Sheet], None],
    title: str,
    description: str = "",
    *,
    standalone: bool = False,
) -> str:
    """Draw on a sheet of `size` inches; the output is deterministic.

    `standalone`: a separate file, with a background; otherwise for a page that includes `CSS`.
    """
    root = ElementTree.fromstring(rendered(size, draw, salt=title))
    links = (element.get(name, "") for element in root.iter() for name in element.attrib)
    referenced = {*re.findall(r"#(\w+)", " ".join(links))}
    for element in list(root.iter()):
        tidy(element, referenced)
    root[:] = [child for child in root if child.find("style") is None]
    root.attrib |= {"class": "picture", "role": "img"}
    root.insert(0, made("title", title))
    root.insert(1, made("desc", description))
    if not standalone:
        del root.attrib["width"], root.attrib["height"]
        return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    root.insert(2, made("style", CSS))
    root.insert(3, made("rect", width="100%", height="100%", **{"class": "ground"}))
    root.attrib["xmlns"] = "http://www.w3.org/2000/svg"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode() + "\n"


def rendered(size: tuple[float, float], draw: Callable[[Sheet], None], salt: str) -> str:
    """Render a drawing with matplotlib; `salt` makes its ids unique in a page."""
    content = io.StringIO()
    with rc_context(STYLE | {"svg.hashsalt": salt}):
        sheet = Sheet(figsize=size, layout="constrained")
        draw(sheet)
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        sheet.savefig(content, format="svg", metadata=no_metadata, transparent=True)
    return content.getvalue()


def tidy(element: ElementTree.Element, referenced: set[str]) -> None:
    """Adapt a shape to a page: drop namespace, font and unused id; use CSS variables as colours."""
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    if element.tag not in ("text", "style"):
        element.text = None
    names = {name: name.rpartition("}")[2] for name in element.attrib}
    attributes = {names[name]: " ".join(text.split()) for name, text in element.attrib.items()}
    identity = attributes.get("id", "")
    if identity not in referenced:
        attributes.pop("id", None)
    if identity.startswith(TIP):
        element.insert(0, made("title", identity.removeprefix(TIP)))
    if "d" in attributes:
        attributes["d"] = re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", attributes["d"])
    if "style" in attributes:
        style = re.sub(r"font-family: [^;]*; ?", "", attributes["style"])
        attributes["style"] = re.sub(r"#[0-9a-f]{6}", lambda c: VARIABLES[c[0]], style)
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    element.attrib.clear()
    element.attrib.update(attributes)


def made(name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    """A new element."""
    element = ElementTree.Element(name, attributes)
    element.text = text
    return element


def colour(number: int) -> str:
    """Colour of a series."""
    return str(COLOURS[number % len(COLOURS)])


def marks(number: int, *, hollow: bool = False, tip: str = "") -> dict[str, Any]:
    """Colour and marker of a series, and the tooltip of its shapes."""
    return {
        "color": colour(number),
        "marker": MARKERS[number % len(MARKERS)],
        "markerfacecolor": PAGE if hollow else colour(number),
        "markersize": 6,
        "gid": f"{TIP}{tip}" if tip else None,
    }


def short(name: str) -> str:
    """A name shortened to fit beside a plot."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def ends(figure: Figure, scale: float = 1.0) -> tuple[float, float, float]:
    """Value and interval ends; both ends are the value without an interval."""
    value = scale * figure["value"]
    low, high = (value if e is None else scale * e for e in (figure["low"], figure["high"]))
    return value, low, high


def interval(
    axes: Axes,
    figure: Figure,
    place: float,
    number: int,
    *,
    scale: float = 1.0,
    upright: bool = False,
    hollow: bool = False,
    tip: str = "",
) -> None:
    """Draw a figure as a marker on its interval, at a position on the other axis."""
    value, low, high = ends(figure, scale)
    across = {"color": colour(number), "linewidth": 1.2, "marker": "_" if upright else "|"}
    for values, style in (
        ((low, high), across),
        ((value,), marks(number, hollow=hollow, tip=tip)),
    ):
        places = [place] * len(values)
        axes.plot(*((places, values) if upright else (values, places)), **style)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones (ascending), at least `gap` apart, in bounds if they fit."""
    placed: list[float] = []
    for place in wanted:
        placed.append(max(place, placed[-1] + gap if placed else low))
    limit = high
    for number in reversed(range(len(placed))):
        placed[number] = min(placed[number], limit)
        limit = placed[number] - gap
    return placed


def legend(sheet: Sheet, series: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Name and style of each series, in two or three columns below the plot."""
    names = [name for name, _ in series]
    handles = [Line2D([], [], **style) for _, style in series]
    columns = 3 if max(map(len, names), default=0) <= 11 else 2
    sheet.legend(handles, names, loc="outside lower center", ncols=columns)
