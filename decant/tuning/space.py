"""The search space: ranges as Optuna's distributions, points of a grid, samplers."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from decant.params.load import Params
from decant.params.models import Training
from decant.params.search import Range, Tune, tunable

DIGITS = 3  # significant digits of a drawn number
CURRENT = 0  # number of the trial of the current settings
Settings = dict[str, Any]  # name -> value


@dataclass(frozen=True)
class Plan:
    """Plan of a search: the space, the current block, and the seed of all draws."""

    tune: Tune
    block: Training
    seed: int

    @classmethod
    def from_params(cls, params: Params) -> "Plan":
        """The plan in params.yaml; its block has the number of epochs of a trial."""
        block: Training = getattr(params, params.tune.stage)
        epochs = {} if params.tune.epochs is None else {"epochs": params.tune.epochs}
        return cls(params.tune, block.model_copy(update=epochs), params.seed)

    @property
    def total(self) -> int:
        """Number of trials, including that of the current settings."""
        grid = math.prod(map(len, grid_values(self.tune))) if self.tune.method == "grid" else None
        return 1 + min(self.tune.trials, grid or self.tune.trials)

    @property
    def current(self) -> Settings:
        """Current values of the searched settings."""
        block = self.block.model_dump(mode="json")
        return {name: block[name] for name in self.tune.space}

    def block_with(self, settings: Settings) -> Training:
        """The block with a trial's settings.

        Raises:
            ValidationError: the settings are inconsistent.
        """
        return type(self.block).model_validate({**self.block.model_dump(), **settings})


def distributions(tune: Tune) -> dict[str, BaseDistribution]:
    """The space as Optuna distributions; choices, which may be lists, are encoded as JSON."""
    fields = tunable(tune.stage)
    return {
        name: _distribution(setting, whole=fields[name].annotation is int)
        for name, setting in tune.space.items()
    }


def _distribution(setting: Range, *, whole: bool) -> BaseDistribution:
    if setting.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in setting.choices])
    low: Any = setting.low  # params.search checks that both exist, with the right type
    high: Any = setting.high
    if whole:
        return IntDistribution(int(low), int(high), setting.log, int(setting.step or 1))
    return FloatDistribution(float(low), float(high), setting.log, setting.step)


def encode(tune: Tune, settings: Settings) -> dict[str, Any]:
    """Settings as Optuna stores them."""
    return {
        name: value if tune.space[name].choices is None else json.dumps(value)
        for name, value in settings.items()
    }


def decode(tune: Tune, stored: Mapping[str, Any]) -> Settings:
    """Settings from Optuna's stored values, with drawn numbers rounded."""
    settings = {}
    for name, distribution in distributions(tune).items():
        settings[name] = stored[name]
        if isinstance(distribution, CategoricalDistribution):
            settings[name] = json.loads(stored[name])
        elif isinstance(distribution, FloatDistribution):
            settings[name] = min(max(rounded(stored[name]), distribution.low), distribution.high)
    return settings


def rounded(value: float) -> float:
    """A number rounded to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def contains(tune: Tune, settings: Settings) -> bool:
    """Whether settings are a point of the space."""
    stored, space = encode(tune, settings), distributions(tune)
    try:
        optuna.create_trial(state=TrialState.WAITING, params=stored, distributions=space)
    except ValueError:
        return False
    return True


def grid_values(tune: Tune) -> list[Sequence[Any]]:
    """Values of each setting of a grid, as Optuna stores them."""
    return [_steps(distribution) for distribution in distributions(tune).values()]


def _steps(distribution: BaseDistribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution) and distribution.step is not None
    count = math.floor((distribution.high - distribution.low) / distribution.step + 1e-9) + 1
    return [rounded(distribution.low + n * distribution.step) for n in range(count)]


def preset(plan: Plan, number: int) -> dict[str, Any]:
    """Predetermined settings, as Optuna stores them: the current ones, or a point of the grid.

    The order of the grid's points depends on the seed. Optuna's GridSampler is not used because it
    raises an error in a study with trials outside its grid.
    """
    if number == CURRENT:
        inside = contains(plan.tune, plan.current)
        return encode(plan.tune, plan.current) if inside else {}
    if plan.tune.method != "grid":
        return {}
    points = list(itertools.product(*grid_values(plan.tune)))
    order = np.random.default_rng(plan.seed).permutation(len(points))
    return dict(zip(plan.tune.space, points[order[number - 1]], strict=True))


def sampler(plan: Plan, number: int) -> BaseSampler:
    """Sampler of one trial; depends only on its number, the seed and the earlier trials.

    A resumed search therefore draws the same settings as an uninterrupted one. TPE: Bergstra et al.
    2011; with a constant liar, so that concurrent trials differ.
    """
    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.tune.method == "tpe":
        return TPESampler(seed=seed, constant_liar=True)
    return RandomSampler(seed=seed)
