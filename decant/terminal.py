"""Output to terminals that lack some characters."""

import io
import sys


def print_what_can_be() -> None:
    """Print `?` for characters that stdout cannot encode, instead of raising an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
