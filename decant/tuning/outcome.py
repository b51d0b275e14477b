"""What a search has found: a table, whether the best is surely better, the change to make."""

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.evaluation.intervals import Gain, paired_gain
from decant.evaluation.metrics import user_means
from decant.files import unusable
from decant.params.edit import replace, rewrite
from decant.tuning.cases import CASES, load_cases
from decant.tuning.plan import Plan
from decant.tuning.tried import DONE, FAILED, NOW, STOPPED, UNFIT, Tried, best_of

SHOWN = 10  # lines of the table
TRIALS, DIFF = "trials.json", "params.diff"
TOLD = {STOPPED: "stopped early", UNFIT: "do not fit together", FAILED: "failed"}


@dataclass(frozen=True)
class Found:
    """The best trial against the settings as they are now.

    `gain`: of NDCG@10 per user, on the cases of all folds; None where the best is as it is now.
    `changes`: the settings to write, empty unless the gain is surely above 0.
    """

    plan: Plan
    tried: list[Tried]
    best: Tried
    gain: Gain | None
    changes: dict[str, Any]


def find(plan: Plan, tried: list[Tried], folder: Path, resamples: int) -> Found:
    """Compare the best of the trials with the settings as they are now, user by user."""
    best, now = best_of(tried), tried[NOW]
    assert best is not None, "the settings as they are now have a result"
    changes = {k: v for k, v in best.chosen.items() if v != now.chosen[k]}
    if not changes:
        return Found(plan, tried, best, None, {})
    ours, theirs = (of_users(folder, one) for one in (best, now))
    gain = paired_gain(ours, theirs, resamples, plan.seed)
    return Found(plan, tried, best, gain, changes if gain.low > 0 else {})


def of_users(folder: Path, one: Tried) -> np.ndarray:
    """Mean NDCG@10 of each user over the cases of all folds; the same users for every trial."""
    number = one.number if one.same_as is None else one.same_as
    users, quality = load_cases(cases_of(folder, number))
    return user_means(quality, users)[1]


def cases_of(folder: Path, number: int) -> Path:
    """Where the quality of a trial's cases is."""
    return folder / CASES / f"{number}.npz"


def table(found: Found) -> str:
    """The best trials and the settings as they are now, a line each."""
    ended = [one for one in found.tried if one.outcome == DONE and one.same_as is None]
    ended.sort(key=lambda one: (-(one.value or 0.0), one.number))
    now = found.tried[NOW]
    lines = ended[:SHOWN] if now in ended[:SHOWN] else [*ended[: SHOWN - 1], now]
    names = list(now.chosen)
    head = ["trial", "NDCG@10", "vs now", *names, "parameters", "time"]
    rows = [head, *(_row(one, now, names) for one in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    told = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([told[0], "-" * len(told[0]), *told[1:], counted(found.tried)])


def counted(tried: Sequence[Tried]) -> str:
    """How many trials there were, and what became of those that have no line."""
    counts = Counter(one.outcome for one in tried)
    again = sum(one.same_as is not None for one in tried)
    parts = [f"{counts[outcome]} {word}" for outcome, word in TOLD.items() if counts[outcome]]
    parts += [f"{again} the same as an earlier one"] if again else []
    return f"{len(tried)} trials" + (f": {', '.join(parts)}" if parts else "")


def verdict(found: Found) -> str:
    """One line: is there anything better than the settings as they are now?"""
    stage, gain = found.plan.tune.stage, found.gain
    if gain is None:
        return f"no trial is better than {stage} as it is now: nothing changes"
    told = (
        f"trial {found.best.number} against {stage} as it is now: NDCG@10 {gain.gain:+.4f} "
        f"[{gain.low:+.4f}, {gain.high:+.4f}] per user (95 %, {gain.n:,} users)"
    )
    if not found.changes:
        return f"{told}; the interval includes 0, it may be noise: nothing changes"
    chosen_among = sum(one.outcome == DONE and one.same_as is None for one in found.tried) - 1
    return f"{told}; the best of {chosen_among} on these users, so rather less on others"


def proposal(found: Found, text: str) -> tuple[str, str]:
    """params.yaml with the changes, comments kept, and its unified diff; "" if there is none.

    Raises:
        EditError: it is laid out in a way that cannot be edited line by line.
    """
    if not found.changes:
        return text, ""
    after = rewrite(text, {found.plan.tune.stage: found.changes})
    lines = difflib.unified_diff(
        text.splitlines(keepends=True),
        after.splitlines(keepends=True),
        "a/params.yaml",
        "b/params.yaml",
    )
    return after, "".join(lines)


def write(found: Found, folder: Path, diff: str) -> None:
    """Write all trials and the diff; where nothing changes there is no file of a diff.

    Raises:
        Unusable: one of them cannot be written.
    """
    document = {
        "stage": found.plan.tune.stage,
        "seed": found.plan.seed,
        "tune": found.plan.tune.model_dump(mode="json", exclude_none=True),
        "best": found.best.number,
        "gain": None if found.gain is None else asdict(found.gain),
        "changes": found.changes,
        "trials": [asdict(one) for one in found.tried],
    }
    put(folder / TRIALS, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    put(folder / DIFF, diff)


def put(path: Path, text: str) -> None:
    """Write a file at once; there is none where there is no text.

    Raises:
        Unusable: something else is there, or it cannot be written.
    """
    try:
        if text:
            path.touch()
            replace(path, text)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise unusable(path, error) from None


def _row(one: Tried, now: Tried, names: Sequence[str]) -> list[str]:
    assert one.value is not None and now.value is not None
    number = f"{one.number} (now)" if one.number == NOW else str(one.number)
    lead = "" if one.number == NOW else f"{one.value - now.value:+.4f}"
    chosen: Mapping[str, Any] = one.chosen
    cells = [_cell(chosen[name]) for name in names]
    parameters = "" if one.parameters is None else f"{one.parameters:,}"
    return [number, f"{one.value:.4f}", lead, *cells, parameters, f"{one.seconds:.0f} s"]


def _cell(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
