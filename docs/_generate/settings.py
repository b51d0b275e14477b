"""The settings reference: from decant.params, params.yaml and its comments."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from decant.params.conditions import Case
from decant.params.effects import TABLE
from decant.params.load import Params
from docs._generate.meanings import BLOCKS, MEANINGS
from docs._generate.schema import Schema, literal, plain, table, values

HEAD = ("setting", "values", "default", "`params.yaml`", "meaning")
INTRODUCTION = """# Settings

Every setting of `params.yaml`, generated from the code that reads it. An unknown key, a wrong type
or a value out of range is an error before anything runs. The default applies where a key is missing
(settings of stages must be present: `decant configure --upgrade` adds them). The column
`params.yaml` has the value in the file as shipped, for the demo shop. `decant configure` replaces
some of them with those of the source's preset (`presets/`). A setting without effect is listed at
the start of a run.
"""


@dataclass(frozen=True)
class Setting:
    """One setting: its schema, its value in params.yaml (`shipped`) and the comment there."""

    key: str
    schema: Schema
    default: Any
    shipped: Any
    meaning: str


def settings(root: Path) -> list[Setting]:
    """Every setting, in the order of the blocks."""
    text = (root / "params.yaml").read_text(encoding="utf-8")
    shipped, commented = yaml.safe_load(text), comments(text)
    listed = []
    for key, schema, default in fields(Params.model_json_schema()):
        block, _, name = key.partition(".")
        value = shipped[block].get(name, default) if name else shipped[block]
        listed.append(Setting(key, schema, default, value, commented.get(key, "")))
    return listed


def fields(document: Schema) -> Iterator[tuple[str, Schema, Any]]:
    """Dotted name, schema and default of each setting; students and ranges are no settings."""
    default = Params().model_dump(mode="json", by_alias=True)
    for block, schema in document["properties"].items():
        if "$ref" in schema:
            inner = document["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
            for name, field in inner["properties"].items():
                yield f"{block}.{name}", field, default[block][name]
        else:
            yield block, schema, default[block]


def comments(text: str) -> dict[str, str]:
    """The comment of each block and setting of params.yaml: behind it, else right above it."""
    lines, behind, above, document = text.splitlines(), {}, {}, yaml.compose(text)
    assert document is not None, "params.yaml has blocks"
    for block, value in document.value:
        behind[block.value] = _end(block, value)
        for key, inner in value.value if _is_nested(value) else ():
            behind[f"{block.value}.{key.value}"] = _end(key, inner)
            above[f"{block.value}.{key.value}"] = _above(lines[: key.start_mark.line])
    rests = {key: lines[mark.line][mark.column :] for key, mark in behind.items()}
    found = {key: rest.partition("#")[2].strip() or above.get(key) for key, rest in rests.items()}
    return {key: comment for key, comment in found.items() if comment}


def _above(lines: Sequence[str]) -> str:
    """The indented comment that the lines end with."""
    comment = itertools.takewhile(lambda line: line.startswith("  #"), reversed(lines))
    return " ".join(line.strip(" #") for line in reversed(list(comment)))


def _is_nested(value: yaml.Node) -> bool:
    return isinstance(value, yaml.MappingNode) and not value.flow_style


def _end(key: yaml.Node, value: yaml.Node) -> yaml.Mark:
    """Where the line of a key ends but for a comment."""
    return key.end_mark if _is_nested(value) else value.end_mark


def samples() -> Iterator[Case]:
    """Configurations in which some setting or other has no effect."""
    given: list[dict[str, Any]] = [
        {},
        {"source": "files"},
        {"source": "files", "ingest": {"layout": "sequences", "events": "events.txt"}},
        {
            "source": "files",
            "ingest": {"behaviour": "behaviour", "items": {"file": "i", "title": "t"}},
        },
        {"split": {"method": "leave-one-out"}},
        {"embed": {"encoder": "bert", "bert": "folder"}},
        {"teacher": {"epochs": 2}, "distill": {"epochs": 2, "soft_weight": 0}},
        {"compress": {"hidden_kept": 1.0}},
        {"registry": {"kind": "s3", "bucket": "b"}},
    ]
    for changes in given:
        for items in (None, 400, 100_000):
            yield Case(Params.model_validate(changes), items)


def without_effect(key: str) -> list[str]:
    """When a setting changes nothing: the reasons that the program gives, each once."""
    condition = TABLE.get(key)
    reasons = [] if condition is None else [condition(case) for case in samples()]
    return list(dict.fromkeys(in_general(reason) for reason in reasons if reason))


def in_general(reason: str) -> str:
    """A reason without what is special about the configuration that it was given for."""
    reason = re.sub(r", and (there are|which) .*", "", reason)
    return re.sub(r"is `[^`]+`, not `", "is not `", reason)


def page(root: Path) -> str:
    """The page in Markdown."""
    blocks: dict[str, list[Setting]] = {}
    for setting in settings(root):
        blocks.setdefault(setting.key.partition(".")[0], []).append(setting)
    single = [listed[0] for listed in blocks.values() if "." not in listed[0].key]
    parts = [INTRODUCTION, "## At the top", table(HEAD, map(cells, single)), *students()]
    for block, listed in blocks.items():
        if listed[0] not in single:
            shared = shared_reasons(listed)
            about = [BLOCKS[block], *(f"No effect where {plain(reason)}." for reason in shared)]
            rows = [cells(setting, shared) for setting in listed]
            parts += [f"## {block}", " ".join(about), table(HEAD, rows)]
    return "\n\n".join([*parts, *parts_of_settings()]) + "\n"


def shared_reasons(listed: Sequence[Setting]) -> list[str]:
    """Why no setting of a block has an effect: reasons that each of them has."""
    first, *others = [without_effect(setting.key) for setting in listed]
    return [reason for reason in first if all(reason in reasons for reasons in others)]


def cells(setting: Setting, shared: Sequence[str] = ()) -> tuple[str, ...]:
    """One row of a table; `shared`: reasons that the block has told already."""
    name = setting.key.rpartition(".")[2]
    meaning = plain(setting.meaning)
    if reasons := [reason for reason in without_effect(setting.key) if reason not in shared]:
        why = plain("; or where ".join(reasons))
        meaning += f'<br><span class="effect">No effect where {why}.</span>'
    shown = [literal(value) for value in (setting.default, setting.shipped)]
    if name == "students":
        shown = ["general alone", "general and four groups"]
    return f"`{name}`{{ #{setting.key} }}", values(setting.schema), *shown, meaning


def students() -> list[str]:
    """The keys of one student."""
    return ["### One student", BLOCKS["students"], *keys_of("Student", "students.NAME")]


def parts_of_settings() -> Iterator[str]:
    """The keys of settings that are mappings themselves."""
    for name, meanings in (
        ("UsersTable", "table"),
        ("ItemsTable", "table"),
        ("Range", "tune.space.NAME"),
    ):
        yield f"## {name}"
        yield from keys_of(name, meanings)


def keys_of(name: str, meanings: str) -> list[str]:
    """The keys of a mapping, as a table."""
    listed = [
        (
            f"`{key}`",
            values(schema),
            literal(schema["default"]) if "default" in schema else "must be given",
            plain(MEANINGS[f"{meanings}.{key}"]),
        )
        for key, schema in Params.model_json_schema()["$defs"][name]["properties"].items()
    ]
    return [table(("key", "values", "default", "meaning"), listed)]
