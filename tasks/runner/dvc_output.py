"""Parsing of the output of DVC and of the programs it runs."""

import re
import signal
from typing import Any, Literal

Status = Literal["ran", "restored", "accepted", "skipped"]
NOISE = re.compile(
    r"^(> |Updating lock file|Generating lock file|To track the changes|To enable auto staging"
    r"|Data and pipelines are up to date|Use `dvc push`|\s*git add |\s*dvc config |$)"
)
_DVC_ERROR = re.compile(r"^ERROR: (?:failed to reproduce '[^']*': )?(.*)")


def outcome(lines: list[str]) -> Status:
    """Status of a stage, from the output of `dvc repro`."""
    text = "\n".join(lines)
    if re.search(r"^Running stage '", text, re.MULTILINE):
        return "ran"
    if "is cached - skipping run" in text:
        return "restored"
    return "skipped" if "didn't change, skipping" in text else "ran"


def failure_reason(lines: list[str], code: int) -> str:
    """Why a child failed: the last of its `error:` lines, else its exception, else DVC's error."""
    errors = [line[len("error: ") :] for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    child_lines = [line for line in lines if not _DVC_ERROR.match(line) and not NOISE.match(line)]
    if any(line.startswith("Traceback ") for line in child_lines):
        return child_lines[-1]
    dvc = [match[1] for line in lines if (match := _DVC_ERROR.match(line))]
    if dvc:
        return explain_exit(dvc[0])
    return explain_exit(f"exited with {code}")


def explain_exit(text: str) -> str:
    """Replace the exit code of a signal by the signal's name."""
    match = re.search(r"exited with (-?\d+)$", text)
    code = int(match[1]) if match else 0
    number = -code if code < 0 else code - 128  # a shell adds 128
    if match is None or number not in set(signal.Signals):
        return text
    return f"{text[: match.start()]}killed by {signal.Signals(number).name}"


def explain_status(changes: Any) -> str:
    """DVC's status of a stage, in one line."""
    parts: list[str] = []
    for change in changes:
        if isinstance(change, str):
            parts.append(change)
            continue
        for kind, what in change.items():
            label = {"changed deps": "", "changed outs": "output "}.get(kind, f"{kind} ")
            parts += [label + item for item in _changed(what)]
    return some(parts)


def some(names: list[str], shown: int = 4) -> str:
    """The first few names, and the number of the others."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def only_edited(changes: Any) -> bool:
    if changes is None or not all(isinstance(change, dict) for change in changes):
        return False
    if {kind for change in changes for kind in change} != {"changed outs"}:
        return False
    ways = {way for change in changes for what in change.values() for way in what.values()}
    return ways == {"modified"}


def _changed(what: Any) -> list[str]:
    if not isinstance(what, dict):
        return [str(what)]
    changes: list[str] = []
    for name, how in what.items():
        changes.append(f"{', '.join(how)} in {name}" if isinstance(how, dict) else f"{name} {how}")
    return changes
