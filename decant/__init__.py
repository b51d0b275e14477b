"""Decant: one large recommender becomes a family of small ones, one per user group.

The functions of `decant.api` can be called as `decant.fit` and so on.
"""

import importlib
from typing import Any

# imported when they are used: a command or a step loads only what it needs
_API = [
    "Data",
    "Event",
    "compress",
    "distill",
    "evaluate",
    "fit",
    "load",
    "load_params",
    "load_release",
    "parse_params",
    "prepare",
    "recommend",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module `decant` has no attribute `{name}`")
    return getattr(importlib.import_module("decant.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_API])
