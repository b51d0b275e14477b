"""Settings of the data stages: raw, ingest, validate, features, split, embed."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from decant.params.types import (
    INPUTS,
    Block,
    Count,
    Modality,
    Name,
    NonNegative,
    Protocol,
    Seed,
    Share,
    Timezone,
)
from decant.suggest import suggest

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
TIME_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
TIME_FORMS = (*TIME_UNITS, "iso", "day-first", "month-first", "year-first")
NULLS = ["NULL", "Null", "null"]  # spellings of null in YAML
MISSING = [*NULLS, "\\N", "NaN", "nan", "NAN", "None", "NaT", "<NA>", "N/A", "n/a", "#N/A"]


class Raw(Block):
    """Size and data quality of the demo shop."""

    users: Annotated[int, Field(ge=2, le=10_000_000)] = 4000
    items: Annotated[int, Field(ge=40, le=1_000_000)] = 400
    steps: Annotated[int, Field(ge=4, le=1000)] = 40
    missing: Share = 0.06
    dirty: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    seed: Seed = 1


class UsersTable(Block):
    """A table of users or item vectors: its file, and the name of its id column."""

    file: str
    id: Name | None = None


class ItemsTable(UsersTable):
    """A table of items."""

    title: Name | None = None


class Ingest(Block):
    """Layout of the tables of the source `files`; the published protocol of MovieLens 1M."""

    protocol: Protocol | None = None
    events: str = "events.csv"
    layout: Literal["table", "sequences"] = "table"
    delimiter: str | None = None
    user: Name = "user"
    item: Name = "item"
    time: Name | None = None
    time_format: str | None = None
    timezone: Timezone = "UTC"
    behaviour: Name | None = None
    behaviour_default: Name = "purchase"
    rating: Name | None = None
    users: UsersTable | None = None
    items: ItemsTable | None = None
    item_title: Name = "title"
    vectors: dict[Modality, UsersTable] = {}
    missing: list[Annotated[str, StringConstraints(min_length=1)]] = MISSING

    @field_validator("users", "items", mode="before")
    @classmethod
    def _file_name_to_table(cls, given: Any) -> Any:
        return {"file": given} if isinstance(given, str) else given

    @field_validator("vectors", mode="before")
    @classmethod
    def _file_names_to_vector_tables(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {n: {"file": t} if isinstance(t, str) else t for n, t in given.items()}

    @field_validator("missing", mode="before")
    @classmethod
    def _restore_parsed_scalars(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        spelt = [NULLS if entry is None else [entry] for entry in given]
        scalars = [entry for entries in spelt for entry in entries]
        return [str(e) if isinstance(e, int | float) else e for e in scalars]

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str | None) -> str | None:
        if delimiter is None or delimiter in DELIMITERS or len(delimiter) == 1:
            return delimiter
        raise ValueError(
            f"invalid delimiter `{delimiter}`: expected one character, a name, or null (found in "
            f"each file); {suggest(delimiter, DELIMITERS, 'names')}"
        )

    @field_validator("time_format")
    @classmethod
    def _check_time_format(cls, form: str | None) -> str | None:
        if form is None or form in TIME_FORMS:
            return form
        moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
        try:
            if datetime.strptime(moment.strftime(form), form).date() == moment.date():
                return form
            problem = "it does not hold year, month and day"
        except ValueError as error:
            problem = str(error)
        raise ValueError(
            f"invalid time format `{form}` ({problem}): expected one such as `%d.%m.%Y %H:%M`, or "
            f"a name; {suggest(form, TIME_FORMS, 'names')}"
        )

    @model_validator(mode="after")
    def _check_time_format_has_time(self) -> "Ingest":
        if self.time is None and self.time_format is not None:
            raise ValueError("time_format has no effect without time: set the time column")
        return self

    @model_validator(mode="after")
    def _check_columns_are_distinct(self) -> "Ingest":
        roles = ("user", "item", "time", "behaviour", "rating")
        named = [column for role in roles if (column := getattr(self, role)) is not None]
        twice = next((column for column in named if named.count(column) > 1), None)
        if self.layout == "table" and twice is not None:
            which = " and ".join(role for role in roles if getattr(self, role) == twice)
            raise ValueError(f"{which} name the same column `{twice}`")
        return self

    @field_validator("vectors")
    @classmethod
    def _check_modality_names(cls, vectors: dict[str, UsersTable]) -> dict[str, UsersTable]:
        for name in vectors:
            if name in INPUTS:
                raise ValueError(f"`{name}` is an input already: rename these vectors")
        return vectors

    @model_validator(mode="after")
    def _check_sequences_layout(self) -> "Ingest":
        given = [
            name for name in ("time", "behaviour", "rating") if getattr(self, name) is not None
        ]
        if self.layout == "sequences" and given:
            raise ValueError(
                f"layout: sequences holds only items, no {' or '.join(given)}: remove the "
                "setting, or use a table with layout: table"
            )
        return self


class Validate(Block):
    """Thresholds of the data checks."""

    max_quarantined: Share = 0.05
    max_drop: Share = 0.2
    unknown_items: Literal["quarantine", "keep"] = "quarantine"
    min_events: Count = 100
    min_users: Annotated[int, Field(ge=2)] = 2
    min_items: Annotated[int, Field(ge=2)] = 2


class Features(Block):
    """Raw tables → model inputs."""

    target_behaviours: list[Name] = []
    merge_window: NonNegative = 1800
    max_length: Annotated[int, Field(ge=2, le=2000)] = 50
    exclude_seen: bool = True
    baskets: bool = False
    attributes: list[Name] = []
    attribute_bins: Annotated[int, Field(ge=2, le=100)] = 4
    impute: Literal["mean", "median", "interpolate"] = "median"
    interest_tags: Annotated[int, Field(ge=1, le=20)] = 3


class Split(Block):
    """Split into training, validation and test."""

    method: Literal["time", "by-user", "leave-one-out"] = "time"
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    cases_per_user: Annotated[int, Field(ge=1, le=1000)] = 4


class Embed(Block):
    """Item text → vectors."""

    encoder: Literal["none", "hashed", "bert"] = "hashed"
    dimension: Annotated[int, Field(ge=2, le=1024)] = 64
    bert: str | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] = 2

    @model_validator(mode="after")
    def _check_bert_is_set(self) -> "Embed":
        if self.encoder == "bert" and not self.bert:
            raise ValueError("embed.bert must name a folder or package when embed.encoder is bert")
        return self
