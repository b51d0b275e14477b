"""The settings that a benchmark's figures depend on, found without running it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.catalogue import DEMO, Benchmark
from decant.commands.presets import check_groups, overlaid, read_preset, settings_in
from decant.params.edit import Settings
from decant.params.load import parse_params
from tasks.runner.input_guard import setting

OF_STUDENT = ".${"  # in dvc.yaml, before the name of a stage's student
SEED = "seed"  # is recorded apart: some benchmarks have several


@dataclass(frozen=True)
class Chosen:
    """The options of a run that change its settings; `users`: the data has a table of users;
    `groups`: those of the preset by name, None: its students."""

    profile: str | None = None
    without: tuple[str, ...] = ()
    protocol: str | None = None
    groups: str | None = None
    users: bool = True

    def as_json(self) -> dict[str, Any]:
        """The options as a mapping."""
        return {**asdict(self), "without": list(self.without)}

    @staticmethod
    def from_json(given: dict[str, Any]) -> "Chosen":
        """The options as they were recorded."""
        return Chosen(**{**given, "without": tuple(given["without"])})


def settings_of(
    root: Path, benchmark: Benchmark, chosen: Chosen, given: Settings | None = None
) -> Settings:
    """The settings that a benchmark's stages read, by dotted name, as it would write them.

    Args:
        given: those it starts from; None: params.yaml.

    Raises:
        ParamsError, ValueError: a preset, a profile or a variant does not exist any more.
    """
    if given is None:
        given = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    assert given is not None
    if benchmark.source is not None:
        profile = chosen.profile or benchmark.profile
        users = chosen.users or chosen.protocol is not None
        written = preset(root, benchmark.source, profile, users, chosen.groups)
        given = overlaid(given, written)
        given = overlaid(given, {"ingest": {"protocol": chosen.protocol}})
    given = overlaid(given, benchmark.changes(parse_params(given), chosen.without))
    return read_by(root, benchmark, given)


def read_by(root: Path, benchmark: Benchmark, given: Settings) -> Settings:
    """Of all settings, those that a benchmark's stages read, by dotted name."""
    every = parse_params(given).model_dump(mode="json", by_alias=True)
    flat: Settings = {}
    for name in [*benchmark.blocks, *names_read(root, benchmark.stages)]:
        value = setting(every, name)
        flat |= (
            {f"{name}.{key}": inner for key, inner in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    flat.pop(SEED, None)
    return flat


def preset(
    root: Path, source: str, profile: str, users: bool, groups: str | None = None
) -> Settings:
    """The settings of a source's preset, as `decant configure` writes them.

    Raises:
        ValueError: there is no such preset, profile or groups.
    """
    read = read_preset(root, source)
    if profile not in read["profiles"]:
        raise ValueError(f"presets/{source}.yaml has no profile `{profile}`")
    settings = settings_in(read, source, profile, without_users=not users)
    if groups is not None:
        check_groups(groups, read)
        settings = overlaid(settings, {"students": read["groups"][groups]})
    return {"source": source, **settings}


def names_read(root: Path, stages: tuple[str, ...]) -> list[str]:
    """The settings that dvc.yaml lists for stages; those of single students as `students`."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    bodies = [graph[name].get("do", graph[name]) for name in stages if name in graph]
    names = [name.split(OF_STUDENT)[0] for body in bodies for name in body.get("params", [])]
    return list(dict.fromkeys(names))


def is_generated(benchmark: Benchmark) -> bool:
    """Whether a benchmark's data follows from code and settings alone."""
    return benchmark.source in (None, DEMO)
