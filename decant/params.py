"""params.yaml as typed models: every key has a type and a range, an unknown one is an error."""

import difflib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import yaml
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from decant.features.raw import clean

Source = Literal["demo", "movielens-100k", "movielens-1m", "online-retail", "files"]
SOURCES: tuple[str, ...] = get_args(Source)
OWN: Source = "files"  # a team's own tables
Input = Literal["item", "text", "behaviour", "rating", "gap", "attributes"]
Objective = Literal["next", "masked"]
INPUTS: tuple[str, ...] = get_args(Input)
IMAGE = "image"  # the modality of the demo shop
GENERAL = "general"
TEACHER = "teacher"
POPULAR = "popular"  # answers in place of a student where a history is empty

Name = Annotated[str, AfterValidator(clean)]  # of a column or value, as tables are read
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what every library takes
Folder = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(os.path.expanduser),
]
Modality = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
CRON_FIELDS = 5
DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
TIME_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
TIME_FORMS = (*TIME_UNITS, "iso", "day-first", "month-first", "year-first")
NULLS = ["NULL", "Null", "null"]  # what YAML reads as no value at all
MISSING = [*NULLS, "\\N", "NaN", "nan", "NAN", "None", "NaT", "<NA>", "N/A", "n/a", "#N/A"]


class ParamsError(ValueError):
    """One or more settings are wrong; `problems` has one line for each."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        super().__init__(f"{path}: " + "; ".join(problems))


class Block(BaseModel):
    """One block of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Raw(Block):
    """The demo shop's size and dirt."""

    users: Annotated[int, Field(ge=2, le=10_000_000)] = 4000
    items: Annotated[int, Field(ge=40, le=1_000_000)] = 400
    steps: Annotated[int, Field(ge=4, le=1000)] = 32
    missing: Share = 0.1
    dirty: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    seed: Seed = 1


def _known_timezone(timezone: str) -> str:
    try:
        ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        near = difflib.get_close_matches(timezone, available_timezones(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "write one such as `Europe/Berlin`"
        raise ValueError(f"no time zone `{timezone}`; {hint}") from None
    return timezone


Timezone = Annotated[str, AfterValidator(_known_timezone)]


class UsersTable(Block):
    """A table of users, or of item vectors: its file, and its name of the column of ids."""

    file: str
    id: Name | None = None


class ItemsTable(UsersTable):
    """A table of items."""

    title: Name | None = None


class Ingest(Block):
    """Layout of the tables of the source `files`."""

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
    def _a_table_may_be_its_file_alone(cls, given: Any) -> Any:
        return {"file": given} if isinstance(given, str) else given

    @field_validator("vectors", mode="before")
    @classmethod
    def _so_may_those_of_vectors(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {n: {"file": t} if isinstance(t, str) else t for n, t in given.items()}

    @field_validator("missing", mode="before")
    @classmethod
    def _yaml_has_spellings_of_its_own(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        spelt = [NULLS if entry is None else [entry] for entry in given]
        scalars = [entry for entries in spelt for entry in entries]
        return [str(e) if isinstance(e, int | float) else e for e in scalars]

    @field_validator("delimiter")
    @classmethod
    def _a_delimiter_is_one_mark(cls, delimiter: str | None) -> str | None:
        if delimiter is None or delimiter in DELIMITERS or len(delimiter) == 1:
            return delimiter
        near = difflib.get_close_matches(delimiter, DELIMITERS, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(
            f"`{delimiter}` is not a delimiter; {hint}give one character, or "
            f"{', '.join(DELIMITERS)}; null: found in each file"
        )

    @field_validator("time_format")
    @classmethod
    def _a_time_format_tells_a_day(cls, form: str | None) -> str | None:
        if form is None or form in TIME_FORMS:
            return form
        moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
        try:
            if datetime.strptime(moment.strftime(form), form).date() == moment.date():
                return form
            problem = "it does not hold year, month and day"
        except ValueError as error:
            problem = str(error)
        near = difflib.get_close_matches(form, TIME_FORMS, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ValueError(
            f"`{form}` is not a format of times ({problem}); {hint}write one such as "
            f"`%d.%m.%Y %H:%M`, or {', '.join(TIME_FORMS)}"
        )

    @model_validator(mode="after")
    def _a_format_is_of_a_time(self) -> "Ingest":
        if self.time is None and self.time_format is not None:
            raise ValueError("time_format has no effect without time: name the column of times")
        return self

    @model_validator(mode="after")
    def _a_column_of_events_is_one_thing(self) -> "Ingest":
        roles = ("user", "item", "time", "behaviour", "rating")
        named = [column for role in roles if (column := getattr(self, role)) is not None]
        twice = next((column for column in named if named.count(column) > 1), None)
        if self.layout == "table" and twice is not None:
            which = " and ".join(role for role in roles if getattr(self, role) == twice)
            raise ValueError(f"{which} name the same column `{twice}`")
        return self

    @field_validator("vectors")
    @classmethod
    def _a_modality_is_no_other_input(cls, vectors: dict[str, UsersTable]) -> dict[str, UsersTable]:
        for name in vectors:
            if name in INPUTS:
                raise ValueError(f"`{name}` is an input already: call these vectors otherwise")
        return vectors

    @model_validator(mode="after")
    def _sequences_are_items_alone(self) -> "Ingest":
        told = [name for name in ("time", "behaviour", "rating") if getattr(self, name) is not None]
        if self.layout == "sequences" and told:
            raise ValueError(
                f"layout: sequences is items alone and has no {' or '.join(told)}: remove the "
                "setting, or give a table with layout: table"
            )
        return self


class Validate(Block):
    """What the data gate asks for."""

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
    attributes: list[Name] = []
    attribute_bins: Annotated[int, Field(ge=2, le=100)] = 4
    impute: Literal["mean", "median", "interpolate"] = "median"
    interest_tags: Annotated[int, Field(ge=1, le=20)] = 3


class Split(Block):
    """What is trained on, what chooses, what confirms."""

    method: Literal["time", "leave-one-out"] = "time"
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
    def _bert_needs_a_place(self) -> "Embed":
        if self.encoder == "bert" and not self.bert:
            raise ValueError("embed.bert must name a folder or package when embed.encoder is bert")
        return self


class Training(Block):
    """One model's shape and how it is trained; teacher and students differ only here."""

    dimension: Annotated[int, Field(ge=8, le=4096)] = 64
    layers: Annotated[int, Field(ge=1, le=64)] = 2
    heads: Annotated[int, Field(ge=1, le=64)] = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    inputs: list[Input | Modality] = ["item"]
    objective: Objective = "next"
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    full_softmax: Annotated[int, Field(ge=1)] = 50_000
    negatives: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    epochs: Count = 10
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    weight_decay: NonNegative = 0.01
    patience: Count = 3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _shape_fits(self) -> "Training":
        if self.dimension % self.heads:
            raise ValueError(f"dimension {self.dimension} is not a multiple of heads {self.heads}")
        if "item" not in self.inputs:
            raise ValueError("inputs must contain item")
        return self


class Teacher(Training):
    """The teacher's settings: `ensemble`, how many others are trained first and teach it."""

    ensemble: Annotated[int, Field(ge=0, le=16)] = 0
    soft_weight: Share = 0.7
    init_from: Folder | None = None


class Distill(Training):
    """One student trainer: the general student's settings and what differs for a segment's."""

    soft_weight: Share = 0.7
    list_weight: Share = 0.0
    strata_weight: Share = 0.0
    hidden_weight: NonNegative = 0.0
    relations_weight: NonNegative = 0.0
    relation_heads: Annotated[int, Field(ge=1, le=64)] = 4
    temperature: Positive = 1.0
    start_layers: list[Annotated[int, Field(ge=0)]] = []
    start_items: bool = False
    worst: Annotated[float, Field(gt=0, le=1)] = 1.0
    adapter_rank: Annotated[int, Field(ge=0, le=256)] = 0
    segment_learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    segment_epochs: Count = 6
    anchor: NonNegative = 0.01
    others: Share = 0.1
    min_users: Count = 100

    @property
    def needs_teacher(self) -> bool:
        """Does the general student start from something of the teacher itself?"""
        return self.start_items or bool(self.start_layers)


class Knowledge(Block):
    """What is kept of what the teacher knows."""

    top_k: Annotated[int, Field(ge=1, le=10_000)] = 50
    states: bool = False
    relations: bool = False


class Student(Block):
    """One student: the model it starts from, and for whom it is."""

    init: str
    where: str | None = None
    priority: int = 0


class Compress(Block):
    """Pruning and quantisation of one student."""

    heads_kept: Annotated[float, Field(gt=0, le=1)] = 1.0
    hidden_kept: Annotated[float, Field(gt=0, le=1)] = 0.5
    recover_epochs: Annotated[int, Field(ge=0, le=100)] = 2
    max_loss: Share = 0.02


class Evaluate(Block):
    """One evaluation of every model on every group."""

    k: Count = 10
    latency_requests: Annotated[int, Field(ge=10)] = 300
    resamples: Annotated[int, Field(ge=100)] = 2000


class Gate(Block):
    """Thresholds of the release gate."""

    margin: NonNegative = 0.005
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    min_retention: NonNegative = 0.9
    min_lift: float = 0.0
    min_size_ratio: NonNegative = 5.0
    min_latency_ratio: NonNegative = 2.0
    max_production_drop: Share = 0.02


class RegistryParams(Block):
    """Where releases live."""

    kind: Literal["local", "s3"] = "local"
    folder: Folder = "registry"
    bucket: str | None = None
    prefix: str = "decant"
    endpoint: str | None = None

    @model_validator(mode="after")
    def _s3_needs_a_bucket(self) -> "RegistryParams":
        if self.kind == "s3" and not self.bucket:
            raise ValueError("registry.bucket must be set when registry.kind is s3")
        return self


Seconds = Annotated[float, Field(gt=0, le=3600)]


class Serve(Block):
    """Limits of the HTTP service: what it loads, what it reads, how long it waits."""

    load_seconds: Seconds = 120.0
    load_memory_mb: Annotated[int, Field(ge=256, le=1_048_576)] = 4096
    max_events: Annotated[int, Field(ge=1, le=10_000)] = 1000
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    header_seconds: Seconds = 5.0
    body_seconds: Seconds = 15.0
    idle_seconds: Seconds = 75.0
    shutdown_seconds: Seconds = 10.0


class Schedule(Block):
    """When the retrain flow runs of itself."""

    cron: str = "0 3 * * *"
    timezone: Timezone = "UTC"

    @field_validator("cron")
    @classmethod
    def _cron_says_when(cls, cron: str) -> str:
        try:
            fields = len(cron.split())
            if fields != CRON_FIELDS:
                raise CronSimError(f"{fields} fields")
            CronSim(cron, datetime(2026, 1, 1))
        except CronSimError as error:
            raise ValueError(
                f"`{cron}` is no schedule ({str(error).lower()}): five fields are meant, minute, "
                "hour, day, month, weekday, such as `0 3 * * *`"
            ) from None
        return cron


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
        told = (_range_problem(self, name, given) for name, given in self.space.items())
        problems = [problem for problem in told if problem is not None]
        if self.stage == "distill" and self.folds > 1:
            problems.append(
                f"folds is {self.folds}, but the teacher's knowledge comes from all that earlier "
                "folds validate on: set folds: 1 for stage: distill"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


WEIGHTS = ("soft_weight", "list_weight", "strata_weight", "hidden_weight", "relations_weight")


def tunable(stage: str) -> dict[str, Any]:
    """The settings that a search may choose, as fields: those that change what a model learns.

    Of `distill` it is those that have an effect on the general student.
    """
    of_general = {"temperature", "worst", *WEIGHTS} if stage == "distill" else set()
    machine = {"precision", "device", "threads", "processes"}
    kept = ({*Training.model_fields} - machine) | of_general
    return {name: field for name, field in Distill.model_fields.items() if name in kept}


def _range_problem(tune: Tune, name: str, given: Range) -> str | None:
    key, fields = f"space.{name}", tunable(tune.stage)
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(sorted(fields))}"
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


class Params(Block):
    """The whole of params.yaml."""

    source: Source = "demo"
    seed: Seed = 7
    raw: Raw = Raw()
    ingest: Ingest = Ingest()
    # `validate` is taken by pydantic's BaseModel
    validation: Validate = Field(default=Validate(), alias="validate")
    features: Features = Features()
    split: Split = Split()
    embed: Embed = Embed()
    teacher: Teacher = Teacher()
    knowledge: Knowledge = Knowledge()
    distill: Distill = Distill()
    students: dict[str, Student] = {GENERAL: Student(init=TEACHER)}
    compress: Compress = Compress()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    registry: RegistryParams = RegistryParams()
    serve: Serve = Serve()
    schedule: Schedule = Schedule()
    tune: Tune = Tune()

    @property
    def segments(self) -> dict[str, Student]:
        """The students of user groups: every one but general."""
        return {name: s for name, s in self.students.items() if name != GENERAL}

    @model_validator(mode="after")
    def _inputs_are_known(self) -> "Params":
        known = [*INPUTS, *dict.fromkeys([IMAGE, *self.ingest.vectors])]
        for block in (TEACHER, "distill"):
            for name in getattr(self, block).inputs:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1)
                    hint = f"did you mean `{near[0]}`? " if near else ""
                    raise ValueError(
                        f"{block}.inputs: no input `{name}`; {hint}known: {', '.join(known)} "
                        "(and the names in ingest.vectors)"
                    )
        return self

    @model_validator(mode="after")
    def _losses_have_what_they_compare_with(self) -> "Params":
        knowledge, distill = self.knowledge, self.distill
        shares = distill.soft_weight + distill.list_weight + distill.strata_weight
        if shares > 1 + 1e-9:
            raise ValueError(
                "distill: soft_weight, list_weight and strata_weight are shares of the loss, "
                f"together {shares:g}: lower them to 1 at most"
            )
        fills_in = distill.objective == "masked" and self.teacher.objective == "next"
        if fills_in and (shares or distill.hidden_weight):
            raise ValueError(
                "distill.objective masked needs teacher.objective: masked; a teacher that predicts "
                "what is next has nothing to say of a user's first event"
            )
        if distill.hidden_weight and not knowledge.states:
            raise ValueError("distill.hidden_weight needs knowledge.states: true")
        if not distill.relations_weight:
            return self
        if not knowledge.relations:
            raise ValueError("distill.relations_weight needs knowledge.relations: true")
        for block, settings in ((TEACHER, self.teacher), ("distill", distill)):
            if settings.objective != "next":
                raise ValueError(f"distill.relations_weight needs {block}.objective: next")
            if settings.dimension % distill.relation_heads:
                raise ValueError(
                    f"distill.relation_heads {distill.relation_heads} does not divide "
                    f"{block}.dimension {settings.dimension}"
                )
        return self

    @model_validator(mode="after")
    def _a_start_fits(self) -> "Params":
        teacher, distill = self.teacher, self.distill
        chosen = distill.start_layers
        if not chosen:
            return self
        if len(chosen) != distill.layers or max(chosen) >= teacher.layers:
            raise ValueError(
                f"distill.start_layers {chosen}: one for each of the {distill.layers} layers of a "
                f"student is meant, from 0 to {teacher.layers - 1}, the teacher's"
            )
        for name in ("dimension", "heads", "objective"):
            theirs, ours = getattr(teacher, name), getattr(distill, name)
            if theirs != ours:
                raise ValueError(
                    f"distill.start_layers needs teacher.{name} ({theirs}) and distill.{name} "
                    f"({ours}) to be the same"
                )
        return self

    @model_validator(mode="after")
    def _students_form_a_family(self) -> "Params":
        if GENERAL not in self.students:
            raise ValueError(f"students must contain `{GENERAL}`")
        general = self.students[GENERAL]
        if general.where is not None or general.init != TEACHER:
            raise ValueError(f"students.{GENERAL} is for everybody: init: {TEACHER} and no `where`")
        for name, student in self.segments.items():
            if not name.isidentifier() or name in (TEACHER, POPULAR):
                raise ValueError(
                    f"students.{name}: a name is made of letters, digits and _, and not "
                    f"`{TEACHER}` or `{POPULAR}`"
                )
            if not student.where:
                raise ValueError(f"students.{name}.where is missing: the rule of who belongs to it")
            if student.init != GENERAL:
                raise ValueError(
                    f"students.{name}.init is `{student.init}`; a segment's student starts from "
                    f"`{GENERAL}`"
                )
        return self


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice in one mapping: else the last one would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise yaml.YAMLError(
                    f"`{name}` is given twice, in lines {lines[name]} and {line}: remove one"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def load_params(path: Path | str = "params.yaml") -> Params:
    """Read and check a params file.

    Raises:
        ParamsError: unreadable file, unknown key, wrong type or value out of range; every
            problem in one message, each with its key, what was given and what is allowed.
    """
    path = Path(path)
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ParamsError(path, ["no such file; run from the project's folder"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ParamsError(path, [f"line {line} is not UTF-8: save the file as UTF-8"]) from None
    except yaml.YAMLError as error:
        raise ParamsError(path, [f"not valid YAML: {' '.join(str(error).split())}"]) from None
    params = parse_params(given, path)
    registry = params.registry
    if registry.kind == "local" and (path.parent / registry.folder).is_file():
        problem = f"`registry.folder`: `{registry.folder}` is a file, a folder is meant"
        raise ParamsError(path, [problem])
    return params


def parse_params(given: Any, path: Path = Path("params.yaml")) -> Params:
    """Check settings that are already a mapping; `path` is only named in errors."""
    if not isinstance(given, dict):
        raise ParamsError(path, [f"expected a mapping of blocks, got {type(given).__name__}"])
    try:
        return Params.model_validate(given, strict=False)
    except ValidationError as error:
        raise ParamsError(path, [_explain(e) for e in error.errors()]) from None


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "params"
    if error["type"] == "extra_forbidden":
        known = _fields_at(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f", did you mean `{near[0]}`?" if near else f"; known: {', '.join(sorted(known))}"
        return f"unknown key `{key}`{hint}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return message if key == "params" else f"`{key}`: {message}"
    return f"`{key}`: {message}, got {error['input']!r}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location:
        field = _named(model, str(part))
        if field is None:
            return list(model.model_fields)  # below `students.NAME` or `tune.space.NAME`
        kinds = (field.annotation, *get_args(field.annotation))
        model = next(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))
    return [field.alias or name for name, field in model.model_fields.items()]


def _named(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field
    return None
