"""Load a release and answer with it: the child process of `decant.serving.preload`.

It reads its job from stdin and writes one line to stdout, both JSON. The kernel limits its time,
memory and file writes, so that it ends even without its parent.
"""

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from decant.starter import end_with_starter

GRACE = 5.0  # seconds after the deadline until the kernel ends a process without a parent
OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "failed to allocate", "cannot allocate")
MOST_PROBLEMS = 20  # reported at most
FOR_LENGTHS = 0.25  # share of the deadline spent on trying histories of all lengths


def main() -> None:
    """Read the job, load, write the result."""
    end_with_starter()
    job = json.load(sys.stdin)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job["seconds"] + GRACE)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not mix with the result
    from decant.runtime import engine  # noqa: F401  # after the above, before memory is limited

    bound(job["memory_mb"])
    answers.write(json.dumps(attempt(job)) + "\n")
    answers.close()
    os._exit(0)  # freeing the models takes time


def bound(memory_mb: int) -> None:
    """Limit the memory of this process; forbid writing files and core dumps."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def attempt(job: dict[str, Any]) -> dict[str, Any]:
    """Check a release, load it, answer with it.

    Args:
        job: `{folder, copied, manifest}`, see `ReleaseFolder` and `disagreements`.

    Returns:
        `{"done": True}`, `{"damaged": [line]}`, `{"refused": line}` or `{"memory": True}`.
    """
    from decant.release.agreement import disagreements
    from decant.release.folder import ReleaseFolder
    from decant.runtime.engine import Family

    manifest = job["manifest"]
    folder = ReleaseFolder(Path(job["folder"]), manifest["files"], job["copied"])
    try:
        problems = folder.problems() or disagreements(manifest, folder.read)
        if problems:
            return {"damaged": problems[:MOST_PROBLEMS]}
        family = Family(folder.read, manifest["id"])
        family.warm_up()
        until = time.monotonic() + FOR_LENGTHS * job["seconds"]
        for length in in_random_order(family.encoder.max_length):
            if time.monotonic() > until:
                break
            family.try_length(length)
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # the runtime's own errors have no common base
        return refusal(error)
    return {"done": True}


def in_random_order(longest: int) -> list[int]:
    """All history lengths in random order.

    There may be no time for all 2,000, and the behaviour of a graph may depend on the length, so
    the order must be unpredictable.
    """
    return random.SystemRandom().sample(range(1, longest), longest - 1)


def refusal(error: Exception) -> dict[str, Any]:
    """The result for an error while loading."""
    line = " ".join(str(error).split())
    if isinstance(error.__cause__, MemoryError) or any(
        sign in line.lower() for sign in OUT_OF_MEMORY
    ):
        return {"memory": True}
    known = isinstance(error, ValueError | OSError)
    return {"refused": line if known and line else f"{type(error).__name__}: {line}"}


if __name__ == "__main__":
    main()
