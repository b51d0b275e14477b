"""Canonical form of ids and attribute values in tables, rules, requests and on the command line.

`True`, `true` and JSON's true are one value, 28 and `28.0` are one number, and two texts that look
the same are one text: composed Unicode letters (NFC), no invisible or surrounding blank characters.
"""

import math
import numbers
import re
import unicodedata
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import numpy as np

EARLIEST = 631_152_000.0  # 1990-01-01, in seconds since 1970: no behaviour log is older
LATEST = 4_102_444_800.0  # 2100-01-01: later times have another unit
RANGES: dict[str, tuple[float | None, float | None]] = {  # of numeric attributes, inclusive
    "age": (0, 120),
    "rating": (1, 5),
    "price": (0, None),
}
# Default_Ignorable_Code_Point of Unicode 15: characters without a glyph
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")  # rendered like a blank
_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.0+)?")  # 12, 12.0; not 012
_POWER = re.compile(r"([1-9])(?:\.([0-9]+))?e\+([0-9]{2})")  # 1e+05, as R writes 100000
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTH = {"true": "true", "false": "false"}
_EXACT = 2.0**63  # from here on, a float represents several integers
_LARGEST_POWER = 15  # of ten; up to it all digits are written


def clean(text: str) -> str:
    """Text in one Unicode form (NFC), without invisible characters and surrounding blanks."""
    if not text.isascii():
        text = _SPACES.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return text.strip()


def plain_text(value: Any) -> str | None:
    """The clean text of one cell or JSON value; None if it is empty, missing or not a scalar."""
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, numbers.Integral):
        return _digits(int(value))
    if isinstance(value, np.floating):
        value = float(str(value))  # 28.1 in 32 bits is 28.1, not 28.100000381
    if isinstance(value, numbers.Real):
        return _decimal(float(value))
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    return None


def identifier(value: Any, missing: Collection[str] = ()) -> str | None:
    """A user's or item's id as text, None if it is missing; `12.0` and 12 are `12`.

    `missing`: spellings of a missing value, such as `NULL`.
    """
    text = plain_text(value)
    return None if text is None or text in missing else _whole(text)


def attribute_value(value: Any, missing: Collection[str] = ()) -> str | None:
    """An attribute's value as text, None if it is missing or not a text, number or boolean.

    Booleans are `true` and `false` in any case; whole numbers have no `.0`.
    """
    text = plain_text(value)
    if text is None or text in missing:
        return None
    return _TRUTH.get(text.lower()) or _whole(text)


def number(value: str | None) -> float | None:
    """A canonical value as a finite number; None if it is missing or not a number."""
    if value is None or not _NUMBER.fullmatch(value):
        return None
    parsed = float(value)
    return parsed if math.isfinite(parsed) else None


def possible(name: str, value: str | None) -> bool:
    """Whether a canonical value is possible for an attribute, unlike an age of 999."""
    low, high = RANGES.get(name, (None, None))
    amount = number(value)
    if amount is None:
        return True
    return (low is None or amount >= low) and (high is None or amount <= high)


def _decimal(value: float) -> str | None:
    if not math.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _digits(value: int) -> str | None:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        return None


def _whole(text: str) -> str:
    """`12` for `12.0`, `100000` for `1e+05`, `0` for `-0`; any other text as it is."""
    if match := _WHOLE.fullmatch(text):
        sign, digits = match.groups()
        return digits if digits == "0" else sign + digits
    if match := _POWER.fullmatch(text):
        first, rest, power = match[1], match[2] or "", int(match[3])
        if len(rest) <= power <= _LARGEST_POWER:
            return first + rest + "0" * (power - len(rest))
    return text
