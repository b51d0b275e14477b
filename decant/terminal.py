"""What is printed reaches whoever reads, whatever letters their terminal has."""

import io
import sys


def print_what_can_be() -> None:
    """Let an output that lacks a letter show `?` for it, instead of ending the program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
