"""The search space: what a trial may set, and how it is drawn or listed."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from decant.params.models import Training
from decant.params.search import Range, Tune, tunable

DIGITS = 3  # significant ones of a drawn number: what a person would write
Chosen = dict[str, Any]  # setting -> value


class Given(BaseSampler):
    """Draws what it was given: a point of a grid, or the settings as they are now."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """None: every setting is drawn by itself."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Nothing, see above."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of one setting."""
        return self.values[param_name]


def sampler(tune: Tune, number: int, seed: int) -> BaseSampler:
    """What draws trial `number`; it depends on this number, the seed and the trials before.

    So a search that was interrupted goes on as if it had not been. TPE: Bergstra et al. 2011.
    """
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if tune.method == "grid":
        points = list(grid(tune))
        order = np.random.default_rng(seed).permutation(len(points))
        return Given(stored(points[order[number - 1]], tune))
    if tune.method == "random":
        return RandomSampler(seed=own)
    return TPESampler(seed=own)


def size(tune: Tune) -> int:
    """How many trials there are beside that of the settings as they are now."""
    if tune.method != "grid":
        return tune.trials
    return min(tune.trials, grid_size(tune))


def grid_size(tune: Tune) -> int:
    """Points of the whole grid."""
    return math.prod(len(values(tune, name)) for name in tune.space)


def grid(tune: Tune) -> Iterator[Chosen]:
    """Every point of the grid."""
    for point in itertools.product(*(values(tune, name) for name in tune.space)):
        yield dict(zip(tune.space, point, strict=True))


def values(tune: Tune, name: str) -> list[Any]:
    """What one setting may be in a grid."""
    given = tune.space[name]
    if given.choices is not None:
        return given.choices
    low, high, step = bounds(tune, name)
    assert step is not None, "params.py has seen to it"
    count = math.floor((high - low) / step + 1e-9) + 1
    return [tidy(low + n * step) for n in range(count)]


def bounds(tune: Tune, name: str) -> tuple[Any, Any, Any]:
    """Low, high and step of an interval: whole numbers for a setting that is one."""
    given = tune.space[name]
    assert given.low is not None and given.high is not None, "params.py has seen to it"
    if tunable(tune.stage)[name].annotation is int:
        return int(given.low), int(given.high), int(given.step or 1)
    step = None if given.step is None else float(given.step)
    return float(given.low), float(given.high), step


def draw(trial: optuna.Trial, tune: Tune) -> Chosen:
    """What a trial sets; a trial that was begun before keeps what it has drawn."""
    return {name: draw_one(trial, tune, name) for name in tune.space}


def draw_one(trial: optuna.Trial, tune: Tune, name: str) -> Any:
    """One setting; a choice is stored as its JSON, so that it may be a list."""
    given = tune.space[name]
    if given.choices is not None:
        return json.loads(trial.suggest_categorical(name, [json.dumps(c) for c in given.choices]))
    low, high, step = bounds(tune, name)
    if isinstance(low, int):
        return trial.suggest_int(name, low, high, step=step, log=given.log)
    drawn = trial.suggest_float(name, low, high, step=step, log=given.log)
    return min(max(tidy(drawn), low), high)


def stored(chosen: Mapping[str, Any], tune: Tune) -> Chosen:
    """The same as Optuna stores it."""
    return {
        name: json.dumps(value) if tune.space[name].choices is not None else value
        for name, value in chosen.items()
    }


def now(tune: Tune, block: Training) -> Chosen:
    """The settings of the space as they are now."""
    told = block.model_dump(mode="json")
    return {name: told[name] for name in tune.space}


def contains(tune: Tune, chosen: Mapping[str, Any]) -> bool:
    """Whether these settings are a point of the space."""
    return all(_inside(tune, name, value) for name, value in chosen.items())


def tidy(value: float) -> Any:
    """A number with few digits."""
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _inside(tune: Tune, name: str, value: Any) -> bool:
    given: Range = tune.space[name]
    if given.choices is not None:
        return value in given.choices
    low, high, step = bounds(tune, name)
    steps = 0.0 if step is None else (value - low) / step
    return bool(low <= value <= high and abs(steps - round(steps)) < 1e-9)
