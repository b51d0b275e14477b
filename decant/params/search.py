"""Settings of a search: its method, and the range of each searched setting."""

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
    """Search space of one setting: an interval, or a list of choices."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Range":
        if self.choices is not None:
            if self.log or (self.low, self.high, self.step) != (None, None, None):
                raise ValueError("set choices alone, or low and high")
            return self
        if self.low is None or self.high is None:
            raise ValueError("set low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be above 0 with log: true")
        if self.log and self.step is not None:
            raise ValueError("log and step cannot be combined: set choices")
        return self

    @property
    def ends(self) -> list[Any]:
        """Values to check, so that all values in between are allowed too."""
        return [self.low, self.high] if self.choices is None else self.choices


class Tune(Block):
    """Search for better settings of one block: `python -m flows.tune`."""

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
                f"folds is {self.folds}, but the teacher was trained on the validation events of "
                "earlier folds: set folds: 1 for stage: distill"
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
    """Fields of the settings that can be searched: those that affect a trained model.

    For `distill`, only those that affect the general student.
    """
    of_general = {"temperature", "cvar_fraction", *WEIGHTS} if stage == "distill" else set()
    machine = {"precision", "device", "threads", "processes"}
    beside = {"experts", "successors", "factors"}  # a trial measures the network alone
    kept = ({*Training.model_fields} - machine - beside) | of_general
    return {name: field for name, field in Distill.model_fields.items() if name in kept}


def _range_problem(tune: Tune, name: str, given: Range) -> str | None:
    key, fields = f"space.{name}", tunable(tune.stage)
    if name not in fields:
        if renamed := rename_hint(f"{tune.stage}.{name}"):
            return f"{key}: {renamed}"
        hint = suggest(name, sorted(fields), "searchable")
        return f"{key}: not a searchable setting of {tune.stage}; {hint}"
    if name == "epochs" and tune.epochs is not None:
        return f"{key} conflicts with tune.epochs: remove one of them"
    field = fields[name]
    kind: Any = Annotated[field.annotation, field]
    allowed = TypeAdapter(kind)
    for value in given.ends:
        try:
            allowed.validate_python(value)
        except ValidationError as error:
            return f"{key}: {value!r} is not allowed: {error.errors()[0]['msg']}"
    if given.choices is None and field.annotation not in (int, float):
        return f"{key}: not a number, so low and high do not apply: set choices"
    continuous = given.choices is None and field.annotation is float and given.step is None
    if tune.method == "grid" and (continuous or given.log):
        return f"{key}: a grid needs a step or choices"
    return None
