"""Types and names shared by several blocks of params.yaml."""

import os
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from decant.features.values import clean
from decant.suggest import MANY, suggest

Source = Literal["demo", "movielens-100k", "movielens-1m", "online-retail", "files"]
SOURCES: tuple[str, ...] = get_args(Source)
OWN: Source = "files"  # the user's own tables
MOVIELENS_1M: Source = "movielens-1m"  # the only source with a protocol
Protocol = Literal["p1"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
Input = Literal["item", "text", "behaviour", "rating", "gap", "attributes"]
Objective = Literal["next", "masked"]
INPUTS: tuple[str, ...] = get_args(Input)
IMAGE = "image"  # the modality of the demo shop
GENERAL = "general"
TEACHER = "teacher"
POPULAR = "popular"  # answers instead of a student if the history is empty
Name = Annotated[str, AfterValidator(clean)]  # of a column or value, cleaned like table cells
EXAMPLES = ("UTC", "Europe/Berlin", "America/New_York")  # of time zones
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # range that every library accepts
Folder = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(os.path.expanduser),
]
Modality = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


class Block(BaseModel):
    """One block of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known_timezone(timezone: str) -> str:
    try:
        ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        known = [*EXAMPLES, *sorted(available_timezones() - {*EXAMPLES})]
        hint = suggest(timezone, known, "time zones", searched=MANY, listed=len(EXAMPLES))
        raise ValueError(f"unknown time zone `{timezone}`; {hint}") from None
    return timezone


Timezone = Annotated[str, AfterValidator(_known_timezone)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
