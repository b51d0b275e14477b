"""Look up figures in nested mappings; missing ones are None."""

import math
from typing import Any

from decant.evaluation.evaluate import RELEASED as RELEASED


def figure(content: Any, *path: str) -> float | None:
    """A number in nested mappings, None if any key is missing."""
    for key in path:
        if not isinstance(content, dict) or key not in content:
            return None
        content = content[key]
    number = isinstance(content, int | float) and not isinstance(content, bool)
    return float(content) if number and math.isfinite(content) else None


def divide(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None or b == 0 else a / b
