"""Settings of a search: what may be tried, and the range of each."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from decant.params.models import Distill, Training
from decant.params.renamed import rename_hint
from decant.params.types import Block, Count
from decant.suggest import suggest


class Range(Block):
    """What one setting may be in a search: an interval, or one of a list."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Range":
        if self.choices is not None:
            if self.log or (self.low, self.high, self.step) != (None, None, None):
                raise ValueError("give choices alone, or low and high")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be above 0 with log: true")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together: give choices")
        return self

    @property
    def ends(self) -> list[Any]:
        """Values of which each must be allowed, so that all in between are."""
        return [self.low, self.high] if self.choices is None else self.choices


class Tune(Block):
    """How better settings of one block are searched for: `python -m flows.tune`."""

    stage: Literal["teacher", "distill"] = "teacher"
    method: Literal["tpe", "grid", "random"] = "tpe"
    trials: Annotated[int, Field(ge=1, le=10_000)] = 20
    folds: Annotated[int, Field(ge=1, le=20)] = 2
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    epochs: Count | None = None
    space: dict[str, Range] = {}

    @model_validator(mode="after")
    def _ranges_are_of_the_stage(self) -> "Tune":
        answers = (_range_problem(self, name, given) for name, given in self.space.items())
        problems = [problem for problem in answers if problem is not None]
        if self.stage == "distill" and self.folds > 1:
            problems.append(
                f"folds is {self.folds}, but the teacher's knowledge comes from all that earlier "
                "folds validate on: set folds: 1 for stage: distill"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


WEIGHTS = (
    "soft_weight",
    "rce_kd_weight",
    "stratified_weight",
    "states_weight",
    "attention_relation_weight",
)


def tunable(stage: str) -> dict[str, Any]:
    """The settings that a search may choose, as fields: those that change what a model learns.

    Of `distill` it is those that have an effect on the general student.
    """
    of_general = {"temperature", "cvar_fraction", *WEIGHTS} if stage == "distill" else set()
    machine = {"precision", "device", "threads", "processes"}
    kept = ({*Training.model_fields} - machine) | of_general
    return {name: field for name, field in Distill.model_fields.items() if name in kept}


def _range_problem(tune: Tune, name: str, given: Range) -> str | None:
    key, fields = f"space.{name}", tunable(tune.stage)
    if name not in fields:
        if renamed := rename_hint(f"{tune.stage}.{name}"):
            return f"{key}: {renamed}"
        hint = suggest(name, sorted(fields), "searchable")
        return f"{key}: no setting of {tune.stage} that can be searched; {hint}"
    if name == "epochs" and tune.epochs is not None:
        return f"{key} has no effect beside tune.epochs: remove one of them"
    field = fields[name]
    kind: Any = Annotated[field.annotation, field]
    allowed = TypeAdapter(kind)
    for value in given.ends:
        try:
            allowed.validate_python(value)
        except ValidationError as error:
            return f"{key}: {value!r} is not allowed: {error.errors()[0]['msg']}"
    if given.choices is None and field.annotation not in (int, float):
        return f"{key}: no number, so that it has no low and high: give choices"
    continuous = given.choices is None and field.annotation is float and given.step is None
    if tune.method == "grid" and (continuous or given.log):
        return f"{key}: a grid needs a step or choices"
    return None
