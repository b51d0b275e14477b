"""Load a release and answer with it, as a program: `decant.serving.preload` starts it.

It reads its job from stdin and writes one line to stdout, both JSON. It is bounded by the kernel in
time, memory and what it may write, so that it ends even if nobody is left to end it.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from decant.starter import end_with_starter

GRACE = 5.0  # seconds after its deadline at which the kernel ends it, if its starter has not
OUT_OF_MEMORY = ("bad allocation", "bad_alloc", "failed to allocate", "cannot allocate")
MOST_PROBLEMS = 20  # that are reported
MOST_LENGTHS = 200  # of histories that are tried


def main() -> None:
    """Do the job that stdin holds."""
    end_with_starter()
    job = json.load(sys.stdin)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job["seconds"] + GRACE)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not the answer
    from decant.serving import engine  # noqa: F401  # before memory is bounded, and after the above

    bound(job["memory_mb"])
    answers.write(json.dumps(attempt(job)) + "\n")
    answers.close()
    os._exit(0)  # a session of the runtime may take long to end, and nobody needs it


def bound(memory_mb: int) -> None:
    """Bound the memory of this process; it writes no files, of a crash neither."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (allowed, allowed))


def attempt(job: dict[str, Any]) -> dict[str, Any]:
    """Check, load, answer.

    Args:
        job: `{folder, copied, manifest}`, see `ReleaseFolder` and `disagreements`.

    Returns:
        `{"done": True}`, `{"damaged": [line]}`, `{"refused": line}` or `{"memory": True}`.
    """
    from decant.release.agreement import disagreements
    from decant.release.folder import ReleaseFolder
    from decant.serving.engine import Family

    manifest = job["manifest"]
    folder = ReleaseFolder(Path(job["folder"]), manifest["files"], job["copied"])
    try:
        problems = folder.problems() or disagreements(manifest, folder.read)
        if problems:
            return {"damaged": problems[:MOST_PROBLEMS]}
        family = Family(folder.read, manifest["id"])
        family.warm_up(tried_lengths(family.encoder.max_length))
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # whatever a release makes of the runtime, it is not loaded
        return refusal(error)
    return {"done": True}


def tried_lengths(longest: int) -> Iterable[int]:
    """Lengths of histories that are tried: every one, or as many evenly spread ones."""
    step = -(-longest // MOST_LENGTHS)
    return range(1, longest, step)


def refusal(error: Exception) -> dict[str, Any]:
    """Why a release is not loaded."""
    line = " ".join(str(error).split())
    if isinstance(error.__cause__, MemoryError) or any(
        sign in line.lower() for sign in OUT_OF_MEMORY
    ):
        return {"memory": True}
    known = isinstance(error, ValueError | OSError)
    return {"refused": line if known and line else f"{type(error).__name__}: {line}"}


if __name__ == "__main__":
    main()
