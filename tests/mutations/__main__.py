"""Apply mutations to copies of the code and see whether the tests notice each of them.

python -m tests.mutations                      all of them
python -m tests.mutations --only NAME …        some, by name or by the start of names
python -m tests.mutations --list               what there is
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutations.listed import MUTATIONS
from tests.mutations.mutation import Mutation
from tests.mutations.runner import KILLED, NotPassingError, Outcome, run_all

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 600.0  # for the tests of one mutation


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 0 only if every mutation is killed."""
    given = parser().parse_args(arguments)
    try:
        chosen = choose(MUTATIONS, given.only)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.list:
        for mutation in chosen:
            print(f"{mutation.name}: {mutation.path}: {mutation.harm}")
        return 0
    return run(chosen, given.jobs, given.seconds)


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutations",
        description="Change one decision of the code at a time; a test must fail each time.",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[],
                        help="names of mutations, or the start of their names")  # fmt: skip
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="at a time (2)")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S",
                        help=f"for the tests of one mutation ({SECONDS:g})")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="show the mutations, run nothing")
    return parser


def positive(text: str) -> int:
    """A whole number from 1."""
    if (number := int(text)) < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def choose(mutations: Sequence[Mutation], names: Sequence[str]) -> list[Mutation]:
    """The mutations whose names start with one of `names`; all without names.

    Raises:
        ValueError: no mutation has such a name.
    """
    for name in names:
        if not any(mutation.name.startswith(name) for mutation in mutations):
            raise ValueError(f"no mutation `{name}`; --list shows the names")
    return [m for m in mutations if not names or m.name.startswith(tuple(names))]


def run(mutations: Sequence[Mutation], jobs: int, seconds: float) -> int:
    """Run mutations, print a line for each and a summary; the exit status."""
    began, outcomes = time.monotonic(), list[Outcome]()
    print(f"{len(mutations)} mutations; first their tests without any", flush=True)
    try:
        for outcome in run_all(mutations, REPOSITORY, jobs=jobs, seconds=seconds):
            outcomes.append(outcome)
            print(f"[{len(outcomes)}/{len(mutations)}] {line(outcome)}", flush=True)
    except NotPassingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = Counter(outcome.status for outcome in outcomes)
    print(f"{summary(counts)} in {time.monotonic() - began:.0f} s")
    for outcome in outcomes:
        if outcome.status != KILLED:
            print(line(outcome))
    return 0 if counts[KILLED] == len(mutations) else 1


def line(outcome: Outcome) -> str:
    """An outcome in one line, or a few."""
    mutation = outcome.mutation
    return f"{outcome.status}: {mutation.name} ({mutation.path}): {outcome.detail}"


def summary(counts: Counter[str]) -> str:
    """How many mutations had which outcome."""
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
