"""The content of a dvc.lock and of a params.yaml, as flat mappings that can be compared.

Settings are not checked against the current keys, because older commits have others. Renamed
settings appear under their current names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from decant.files import ContentError
from decant.params.renamed import with_current_names

TIMES = "data/training/"  # outputs that differ between equal runs, and that no stage reads
MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
Settings = dict[str, Any]  # by dotted name; lists are values


@dataclass(frozen=True)
class StageRecord:
    """A stage in dvc.lock: command, settings by dotted name, path → md5 of inputs and outputs."""

    command: str
    settings: Settings
    deps: dict[str, str]
    outs: dict[str, str]


Record = dict[str, StageRecord]


def read_record(name: str, content: bytes) -> Record:
    """Parse the stages of a dvc.lock; `name` is only used in errors.

    Raises:
        ContentError: it is not a dvc.lock.
    """
    stages = parse_yaml(name, content).get("stages", {})
    if not isinstance(stages, dict):
        raise ContentError(f"{name} is damaged: its `stages` are not a mapping")
    record = {}
    for stage, entry in stages.items():
        try:
            record[stage] = _stage(entry)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ContentError(
                f"{name} is damaged: stage `{stage}` has no command, or files without path and md5"
            ) from None
    return record


def read_settings(name: str, content: bytes) -> Settings:
    """Parse the settings of a params.yaml.

    Raises:
        ContentError: it is not a YAML mapping.
    """
    return with_current_names(flat(parse_yaml(name, content)))


def parse_yaml(name: str, content: bytes) -> dict[str, Any]:
    """Parse a YAML mapping.

    Raises:
        ContentError: it is not a YAML mapping.
    """
    try:
        parsed = yaml.safe_load(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ContentError(f"{name} is damaged: it is not UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ContentError(f"{name} is damaged: it is not YAML{line}") from None
    if not isinstance(parsed, dict):
        raise ContentError(f"{name} is damaged: expected a mapping, got {type(parsed).__name__}")
    return parsed


def flat(content: Mapping[str, Any], prefix: str = "") -> Settings:
    """Flatten nested mappings to dotted names; an empty mapping is a value."""
    settings: Settings = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            settings |= flat(value, f"{name}.")
        else:
            settings[name] = value
    return settings


def outputs_of(record: Record) -> dict[str, str]:
    """Path → md5 of every output of a run."""
    return {path: md5 for stage in record.values() for path, md5 in stage.outs.items()}


def not_as_run(settings: Settings, record: Record) -> list[str]:
    """Names of settings that differ from those the stages ran with."""
    stale = {
        name
        for stage in record.values()
        for name, value in stage.settings.items()
        if settings.get(name, value) != value
    }
    return sorted(stale)


def _stage(entry: Mapping[str, Any]) -> StageRecord:
    settings: Settings = {}
    for of_file in entry.get("params", {}).values():
        settings |= with_current_names(flat(of_file))
    deps, outs = (_hashes(entry.get(side, [])) for side in ("deps", "outs"))
    made = {path: md5 for path, md5 in outs.items() if not path.startswith(TIMES)}
    return StageRecord(str(entry["cmd"]), settings, deps, made)


def _hashes(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    hashes = {str(entry["path"]): str(entry.get("md5", "")) for entry in entries}
    for md5 in hashes.values():
        if md5 and not MD5.fullmatch(md5):
            raise ValueError(md5)
    return hashes
