"""Read params.yaml: an unknown key or a value out of range is an error that names the key."""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    model_validator,
)

from decant.params.data import Embed, Features, Ingest, Raw, Split, Validate
from decant.params.models import Compress, Distill, Knowledge, Student, Teacher
from decant.params.release import Evaluate, Gate, RegistryParams, Schedule, Serve
from decant.params.renamed import rename_hint
from decant.params.search import Tune
from decant.params.types import (
    GENERAL,
    IMAGE,
    INPUTS,
    POPULAR,
    TEACHER,
    Block,
    Seed,
    Source,
)
from decant.suggest import suggest


class ParamsError(ValueError):
    """One or more settings are wrong; `problems` has one line for each."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        super().__init__(f"{path}: " + "; ".join(problems))


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
                    hint = suggest(name, known, "inputs", also_list=True)
                    raise ValueError(
                        f"{block}.inputs: no input `{name}`; {hint} (and the names in "
                        "ingest.vectors)"
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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(path, ["no such file; run from the project's folder"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ParamsError(path, [f"line {line} is not UTF-8: save the file as UTF-8"]) from None
    params = parse_params(parse_yaml(text, path), path)
    registry = params.registry
    if registry.kind == "local" and (path.parent / registry.folder).is_file():
        problem = f"`registry.folder`: `{registry.folder}` is a file: name a folder"
        raise ParamsError(path, [problem])
    return params


def parse_yaml(text: str, path: Path = Path("params.yaml")) -> Any:
    """Parse YAML in which no key stands twice in one mapping; `path` is only named in errors.

    Raises:
        ParamsError: the text is not valid YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ParamsError(path, [f"not valid YAML: {' '.join(str(error).split())}"]) from None


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
        if renamed := rename_hint(key):
            return renamed
        hint = suggest(str(error["loc"][-1]), sorted(_fields_at(error["loc"][:-1])))
        return f"unknown key `{key}`; {hint}"
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
