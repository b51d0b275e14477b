"""The lines that a search says while it goes on."""

from decant.tuning.plan import Plan
from decant.tuning.tried import DONE, Tried


def opening(plan: Plan, workers: int, here: int, interrupted: int) -> str:
    """The first line: how much there is to do, and what is there already."""
    tune = plan.tune
    folds = f"{tune.folds} fold{'s' * (tune.folds > 1)} each"
    line = (
        f"{plan.total} trials of {tune.stage} ({tune.method}; 0 is as it is now), {folds}, "
        f"{workers} at a time"
    )
    if here or interrupted:
        line += f"; {here} done before"
    if interrupted:
        line += f", {interrupted} interrupted and made again"
    return line


def ending(plan: Plan, one: Tried, best: Tried | None, seconds_left: float) -> str:
    """A line about a trial that has ended: its result, the best so far, the time that is left."""
    result = f"NDCG@10 {one.value:.4f}" if one.outcome == DONE else f"{one.outcome} ({one.why})"
    same = "" if one.same_as is None else f" as trial {one.same_as}, the same"
    parts = [f"trial {one.number} of {plan.total - 1}: {result}{same} [{spell(one)}]"]
    if best is not None:
        parts.append(f"best {best.value:.4f} (trial {best.number})")
    if seconds_left > 0:
        parts.append(f"{duration(seconds_left)} left")
    return ", ".join(parts)


def spell(one: Tried) -> str:
    """What a trial has set, for a person."""
    return ", ".join(f"{name} {value}" for name, value in one.chosen.items())


def duration(seconds: float) -> str:
    """A length of time for a person."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
