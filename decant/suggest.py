"""Hints for misspelt names in messages: the nearest known name, or a list of all.

Imports only the standard library, since the HTTP service uses it.
"""

import difflib
from collections.abc import Iterable, Sequence

SEARCHED = 100  # names compared at most: comparing more would delay the service
MANY = 10_000  # the same on the command line
SHOWN = 80  # characters of a name; longer ones are not compared, and truncated in lists
LISTED = 20  # names in one message


def suggest(
    name: str,
    known: Iterable[str],
    what: str = "known",
    *,
    also_list: bool = False,
    ignore_case: bool = False,
    searched: int = SEARCHED,
    listed: int = LISTED,
) -> str:
    """Build the hint "did you mean `x`?", or if no name is close "known: a, b and 7 more".

    Args:
        known: the existing names, in the order of the list.
        what: the word before the list.
        also_list: also add the list to a suggestion.
        searched: make no suggestion if more names are known.
        listed: length of the list.
    """
    names = list(known)
    near = nearest(name, names, ignore_case=ignore_case) if len(names) <= searched else None
    if near is None:
        return f"{what}: {_listed(names, listed)}"
    hint = f"did you mean `{near}`?"
    return f"{hint} {what}: {_listed(names, listed)}" if also_list else hint


def nearest(name: str, known: Sequence[str], *, ignore_case: bool = False) -> str | None:
    """Find the known name most similar to `name`; None if none is close."""
    if len(name) > SHOWN:
        return None
    fold = str.casefold if ignore_case else str
    folded: dict[str, str] = {}
    for other in known:
        if len(other) <= SHOWN:
            folded.setdefault(fold(other), other)
    near = difflib.get_close_matches(fold(name), folded, n=1)
    return folded[near[0]] if near else None


def _listed(names: Sequence[str], most: int) -> str:
    shown = ", ".join(name[:SHOWN] for name in names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
