"""Bring a params.yaml of an earlier version up to date."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from decant.params.edit import Edit, applied, rewrite
from decant.params.load import Params, ParamsError, parse_yaml
from decant.params.renamed import current_name
from decant.params.types import TEACHER


def upgrade(text: str, needed: Sequence[str] = (), path: Path = Path("params.yaml")) -> str:
    """Rename settings of an earlier version, and write those in `needed` that are missing.

    Args:
        needed: dotted names; a missing one gets its default, in its block.

    Raises:
        ParamsError: the text is not valid YAML, or wrong with the current names too.
        EditError: its layout cannot be edited.
    """
    renamed = rename(text, path)
    lacking = missing_settings(parse_yaml(renamed, path), needed)
    defaults = Params().model_dump(mode="json", by_alias=True)
    added: dict[str, Any] = {}
    for name in lacking:
        block, _, key = name.partition(".")
        if key:
            added.setdefault(block, {})[key] = defaults[block][key]
        else:
            added[block] = defaults[block]
    return rewrite(renamed, added, path)


def missing_settings(settings: Any, needed: Sequence[str]) -> list[str]:
    """Those of the dotted names `needed` that are not written in `settings`."""
    return [name for name in dict.fromkeys(needed) if not _is_written(settings, name.split("."))]


def settings_in_graph(path: Path) -> list[str]:
    """Names of settings that the stages of a dvc.yaml depend on, but those of single students.

    DVC asks that each is written in params.yaml, even if it has its default.
    """
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"].values()
    names = [name for stage in stages for name in stage.get("do", stage).get("params", [])]
    return [name for name in dict.fromkeys(names) if "${" not in name]


def _is_written(settings: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True


def rename(text: str, path: Path = Path("params.yaml")) -> str:
    """Give settings of an earlier version their current names; change nothing else.

    Raises:
        ParamsError: the text is not valid YAML, or has a setting under both names.
    """
    parsed = parse_yaml(text, path)
    if not isinstance(parsed, dict):
        return text
    stage = (parsed.get("tune") or {}).get("stage", TEACHER)
    return applied(text, _renames(YAML().compose(text), "", stage, path))


def _renames(node: Node, prefix: str, searched: str, path: Path) -> Iterator[Edit]:
    if isinstance(node, MappingNode):
        lines = {f"{prefix}{key.value}": key.start_mark.line + 1 for key, _ in node.value}
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            current = current_name(name, searched)
            if current != name:
                if current in lines:
                    both = f"`{name}` (line {lines[name]}) was renamed to `{current}`"
                    problem = f"{both}, which is there too (line {lines[current]}): remove one"
                    raise ParamsError(path, [problem])
                last = current.rpartition(".")[2]
                yield Edit(key.start_mark.index, key.end_mark.index, last)
            yield from _renames(value, f"{name}.", searched, path)
