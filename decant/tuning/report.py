"""The outcome of a search: table, significance of the best trial, proposed change."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.evaluation.intervals import Gain, paired_gain
from decant.evaluation.metrics import user_means
from decant.files import replace_file, unusable
from decant.params.edit import rewrite
from decant.tuning.space import CURRENT, Plan, Settings
from decant.tuning.study import (
    DONE,
    FAILED,
    STOPPED,
    UNFIT,
    TrialResult,
    best_result,
    cases_path,
    load_cases,
)

ROWS = 10  # of the table
TRIALS, DIFF = "trials.json", "params.diff"
COUNTED = {STOPPED: "stopped early", UNFIT: "invalid combinations", FAILED: "failed"}


@dataclass(frozen=True)
class Comparison:
    """The best trial compared with the current settings.

    `gain`: in NDCG@10 per user, on the cases of all folds; None if the current settings are best.
    `changes`: the settings to write, empty unless the gain is significantly above 0.
    """

    plan: Plan
    results: list[TrialResult]
    best: TrialResult
    gain: Gain | None
    changes: Settings

    @property
    def current(self) -> TrialResult:
        """The trial of the current settings."""
        return self.results[CURRENT]

    @property
    def trained(self) -> list[TrialResult]:
        """Trials trained to completion, best first."""
        trained = [r for r in self.results if r.outcome == DONE and r.same_as is None]
        return sorted(trained, key=lambda result: (-(result.value or 0.0), result.number))


def compare(plan: Plan, results: list[TrialResult], folder: Path, resamples: int) -> Comparison:
    """Compare the best trial with the current settings, user by user."""
    best, current = best_result(results), results[CURRENT]
    assert best is not None, "the current settings have a result"
    changes = {k: v for k, v in best.settings.items() if v != current.settings[k]}
    if not changes:
        return Comparison(plan, results, best, None, {})
    ours, theirs = (user_quality(folder, result) for result in (best, current))
    gain = paired_gain(ours, theirs, resamples, plan.seed)
    return Comparison(plan, results, best, gain, changes if gain.low > 0 else {})


def user_quality(folder: Path, result: TrialResult) -> np.ndarray:
    """Mean NDCG@10 of each user over the cases of all folds; the same users for every trial."""
    number = result.number if result.same_as is None else result.same_as
    users, quality = load_cases(cases_path(folder, number))
    return user_means(quality, users)[1]


def table(comparison: Comparison) -> str:
    """The best trials and the current settings, one line each."""
    rows, current = comparison.trained, comparison.current
    rows = rows[:ROWS] if current in rows[:ROWS] else [*rows[: ROWS - 1], current]
    head = ["trial", "NDCG@10", "vs current", *current.settings, "parameters", "time"]
    cells = [head, *(_row(result, current) for result in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *lines = (
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join([first, "-" * len(first), *lines, counts(comparison.results)])


def _row(result: TrialResult, current: TrialResult) -> list[str]:
    assert result.value is not None and current.value is not None
    number, lead = str(result.number), f"{result.value - current.value:+.4f}"
    if result.number == CURRENT:
        number, lead = f"{number} (current)", ""
    settings = [
        "+".join(map(str, value)) if isinstance(value, list) else str(value)
        for value in result.settings.values()
    ]
    parameters = "" if result.parameters is None else f"{result.parameters:,}"
    return [number, f"{result.value:.4f}", lead, *settings, parameters, f"{result.seconds:.0f} s"]


def counts(results: Sequence[TrialResult]) -> str:
    """Number of trials, and of those without a line."""
    number = Counter(result.outcome for result in results)
    parts = [f"{number[outcome]} {word}" for outcome, word in COUNTED.items() if number[outcome]]
    if repeated := sum(result.same_as is not None for result in results):
        parts.append(f"{repeated} repeat an earlier one")
    return f"{len(results)} trials" + (f": {', '.join(parts)}" if parts else "")


def verdict(comparison: Comparison) -> str:
    """One line on whether a trial is better than the current settings."""
    stage, gain = comparison.plan.tune.stage, comparison.gain
    if gain is None:
        return f"no trial is better than the current settings of {stage}: nothing changes"
    line = (
        f"trial {comparison.best.number} against the current settings of {stage}: "
        f"NDCG@10 {gain.gain:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] per user "
        f"(95 %, {gain.n:,} users)"
    )
    if not comparison.changes:
        return f"{line}; the interval includes 0, so it may be noise: nothing changes"
    others = len(comparison.trained) - 1
    return f"{line}; the best of {others} on these users, so expect less on others"


def proposal(comparison: Comparison, text: str) -> tuple[str, str]:
    """params.yaml with the changes, keeping comments, and its unified diff or "".

    Raises:
        EditError: the layout of the file cannot be edited.
    """
    if not comparison.changes:
        return text, ""
    after = rewrite(text, {comparison.plan.tune.stage: comparison.changes})
    old, new = (version.splitlines(keepends=True) for version in (text, after))
    return after, "".join(difflib.unified_diff(old, new, "a/params.yaml", "b/params.yaml"))


def write(comparison: Comparison, folder: Path, diff: str) -> None:
    """Write all trials, and the diff if there are changes.

    Raises:
        UnusableError: a file cannot be written.
    """
    plan, gain = comparison.plan, comparison.gain
    document: dict[str, Any] = {
        "stage": plan.tune.stage,
        "seed": plan.seed,
        "tune": plan.tune.model_dump(mode="json", exclude_none=True),
        "best": comparison.best.number,
        "gain": None if gain is None else asdict(gain),
        "changes": comparison.changes,
        "trials": [asdict(result) for result in comparison.results],
    }
    put(folder / TRIALS, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    put(folder / DIFF, diff)


def put(path: Path, text: str) -> None:
    """Write a file atomically; an empty text removes it.

    Raises:
        UnusableError: it is not a file, or cannot be written.
    """
    try:
        if not text:
            path.unlink(missing_ok=True)
            return
        path.touch()  # a link that leads nowhere is an error, not replaced
        replace_file(path, text)
    except OSError as error:
        raise unusable(path, error) from None
