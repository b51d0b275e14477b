"""What is searched, and the settings that one trial has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decant.params.models import Training
from decant.params.search import Tune
from decant.tuning import space


@dataclass(frozen=True)
class Plan:
    """What is searched: the space, the block as it is now, the seed of all that is drawn."""

    tune: Tune
    block: Training
    seed: int

    @property
    def total(self) -> int:
        """Trials in all, that of the settings as they are now included."""
        return 1 + space.size(self.tune)


def settings_of(block: Training, chosen: Mapping[str, Any]) -> Training:
    """The block with what a trial sets.

    Raises:
        ValidationError: the settings do not fit together.
    """
    return type(block).model_validate({**block.model_dump(), **chosen})
