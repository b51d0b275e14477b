"""Types and names shared by several blocks of params.yaml."""

import os
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from decant.features.values import clean
from decant.suggest import MANY, suggest

Source = Literal["demo", "movielens-100k", "movielens-1m", "online-retail", "files"]
SOURCES: tuple[str, ...] = get_args(Source)
OWN: Source = "files"  # the user's own tables
MOVIELENS_1M: Source = "movielens-1m"  # the only source with a protocol
Protocol = Literal["p1"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
Input = Literal["item", "text", "behaviour", "rating", "gap", "clock", "attributes"]
Objective = Literal["next", "masked"]
INPUTS: tuple[str, ...] = get_args(Input)
Expert = Literal["chain", "basket", "previous", "together", "recency", "frequency", "popularity"]
EXPERTS: tuple[str, ...] = get_args(Expert)
TABLES = EXPERTS[:4]  # experts that are tables of successors
REPEATS = EXPERTS[4:6]  # experts that know what a user took before
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

    @field_validator("*", mode="before")
    @classmethod
    def _yes_or_no_is_not_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts `true` as 1, so that `margin: yes` would allow any loss."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        given = value if isinstance(value, list) else [value]
        if kinds & {int, float} and not kinds & {bool, Any}:
            for each in given:
                if isinstance(each, bool):
                    raise ValueError(f"expected a number, got `{'yes' if each else 'no'}`")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """All types that an annotation is made of."""
    parts = get_args(annotation)
    return {annotation}.union(*map(_kinds, parts)) if parts else {annotation}


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
