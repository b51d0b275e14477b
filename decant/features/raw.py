"""One raw attribute value, whoever sends it: a table, a JSON request, a command line."""

import math
import numbers
from typing import Any

import numpy as np

Raw = str | float | int | None


def plain(value: Any) -> Raw:
    """A raw value as text without surrounding blanks or as a finite number; None is missing.

    A truth value is its text, `True` or `False`. What is neither text nor number is missing.
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return None


def number(value: Raw) -> float | None:
    """A plain value as a finite number, None where it is none; text such as `28` is one."""
    if value is None or (isinstance(value, str) and "_" in value):  # Python reads 1_000 as 1000
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def spellings(value: Raw) -> tuple[str, ...]:
    """How a table may have written a plain value: the number 28 is `28` or `28.0`."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    exact = number(value)
    if exact is None:
        return ()
    return (str(int(value)), str(exact)) if exact.is_integer() else (str(exact),)
