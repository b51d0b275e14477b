"""Numbers as text: unit, sensible precision, and a word for a missing value."""

from markupsafe import Markup, escape

from decant.report.results import Figure

NOT_MEASURED = "not measured"
KILO = 1000
NO_BREAK = "\u00a0"


def value(figure: Figure | None) -> float | None:
    """The value of a figure."""
    return None if figure is None else figure["value"]


def quality(value: float | None) -> str:
    """A metric between 0 and 1."""
    return NOT_MEASURED if value is None else f"{value:.4f}"


def percent(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A share, given as a fraction."""
    if value is None:
        return NOT_MEASURED
    return f"{100 * value:{'+' if sign else ''}.{digits}f}{NO_BREAK}%".replace("-", "−")


def over(value: float | None) -> str:
    """A ratio, as its signed difference from 1 in percent."""
    return percent(None if value is None else value - 1, sign=True)


def gain(value: float | None) -> str:
    """A difference of two metrics, always with its sign."""
    return NOT_MEASURED if value is None else f"{value:+.4f}".replace("-", "−")


def times(value: float | None) -> str:
    """A ratio."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.{0 if value >= 100 else 1}f}×"


def size(count: float | None) -> str:
    """Bytes, in decimal units."""
    if count is None:
        return NOT_MEASURED
    if count < KILO:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= KILO
        if count < KILO or unit == "GB":
            break
    return f"{count:.{0 if count >= 100 else 1 if count >= 10 else 2}f} {unit}"


def duration(microseconds: float | None) -> str:
    """The time of one request."""
    if microseconds is None:
        return NOT_MEASURED
    if microseconds < KILO:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / KILO:.2f} ms"


def count(value: float | None) -> str:
    """A whole number."""
    return NOT_MEASURED if value is None else f"{value:,.0f}"


def code(text: str) -> Markup:
    """A sentence whose parts in backticks are code."""
    parts = [escape(part) for part in text.split("`")]
    each = (Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts))
    return Markup("").join(each)


def distinguishable(value: float | None, threshold: float) -> tuple[str, str]:
    """A value and its threshold, with enough digits to see which is larger."""
    if value is None:
        return NOT_MEASURED, plain(threshold)
    for digits in range(4, 16):
        texts = plain(value, digits), plain(threshold, digits)
        if texts[0] != texts[1] or value == threshold:
            return texts
    return repr(value), repr(threshold)


def plain(value: float, digits: int = 4) -> str:
    """A number of unknown scale."""
    if value == int(value) or abs(value) >= 10**digits:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")
