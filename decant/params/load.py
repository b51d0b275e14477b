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
from decant.params.renamed import COMMAND, rename_hint
from decant.params.search import Tune
from decant.params.students import check_family, check_settings, groups_of, settings_of
from decant.params.types import (
    GENERAL,
    IMAGE,
    INPUTS,
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
    """All settings of params.yaml."""

    source: Source = "demo"
    seed: Seed = 7
    raw: Raw = Raw()
    ingest: Ingest = Ingest()
    # pydantic's BaseModel already has `validate`
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
        """The students that serve segments, without general and all variants."""
        return {name: self.students[name] for name in groups_of(self.students) if name != GENERAL}

    @property
    def variants(self) -> dict[str, str]:
        """Variants by name → the student that serves the same users. Variants are trained and
        evaluated beside it."""
        groups = groups_of(self.students).items()
        return {name: first for first, names in groups for name in names if name != first}

    @property
    def shrunk(self) -> dict[str, str]:
        """Segments' students and variants with `shrink` → the student that they start from."""
        return {
            name: student.init
            for name, student in self.students.items()
            if student.init in self.students
            and student.where is not None
            and self.settings_of(name).shrink
        }

    def settings_of(self, name: str) -> Distill:
        """The training settings of one student."""
        return settings_of(self.distill, name, self.students[name])

    @model_validator(mode="after")
    def _inputs_are_known(self) -> "Params":
        known = [*INPUTS, *dict.fromkeys([IMAGE, *self.ingest.vectors])]
        for block, inputs in self._inputs().items():
            for name in inputs:
                if name not in known:
                    hint = suggest(name, known, "inputs", also_list=True)
                    raise ValueError(
                        f"{block}.inputs: no input `{name}`; {hint} (and the names in "
                        "ingest.vectors)"
                    )
        return self

    def _inputs(self) -> dict[str, list[str]]:
        """The inputs of every model, by the setting that lists them."""
        own = {
            f"students.{name}.overrides": self.settings_of(name).inputs
            for name, student in self.students.items()
            if "inputs" in student.overrides
        }
        return {TEACHER: self.teacher.inputs, "distill": self.distill.inputs, **own}

    @model_validator(mode="after")
    def _students_form_a_family(self) -> "Params":
        check_family(self.students)
        return self

    @model_validator(mode="after")
    def _students_fit_their_models(self) -> "Params":
        check_settings(self.students, self.distill, self.teacher, self.knowledge)
        return self


class _Loader(yaml.SafeLoader):
    """A loader that rejects duplicate keys, of which YAML silently takes the last."""

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
        ParamsError: unreadable file, unknown key, wrong type or value out of range. The message
            lists all problems, each with its key, the value and the allowed values.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(path, ["file not found; run from the project's folder"]) from None
    except IsADirectoryError:
        raise ParamsError(path, ["a folder, not a file: name the params.yaml in it"]) from None
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
    """Parse YAML without duplicate keys; `path` is only used in errors.

    Raises:
        ParamsError: the text is not valid YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ParamsError(path, [f"not valid YAML: {' '.join(str(error).split())}"]) from None


def parse_params(given: Any, path: Path = Path("params.yaml")) -> Params:
    """Check settings that are already a mapping; `path` is only used in errors."""
    if not isinstance(given, dict):
        raise ParamsError(path, [f"expected a mapping of blocks, got {type(given).__name__}"])
    try:
        return Params.model_validate(given, strict=False)
    except ValidationError as error:
        raise ParamsError(path, _problems(error)) from None


def _problems(error: ValidationError) -> list[str]:
    """A line for each problem; renamed settings are one, with the command that mends them."""
    problems = [_explain(e) for e in error.errors()]
    renamed = [problem for problem in problems if "was renamed to" in problem]
    others = [problem for problem in problems if problem not in renamed]
    return [f"{', '.join(renamed)}: {COMMAND}", *others] if renamed else others


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
