"""Presets of `decant configure`: settings of a source, its profiles, its user groups, own groups.

A preset's `students` are its user groups; `groups` has alternatives to them by name.
"""

import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from decant.files import replace_file
from decant.params.edit import Settings
from decant.params.load import Params, parse_params
from decant.params.models import Student
from decant.params.types import OWN
from decant.suggest import suggest

PRESETS = Path("presets")
OWN_SETTINGS = Path(".decant") / "params-files.yaml"  # of own tables, while another source is set
OWN_GROUPS = Path(".decant") / "groups-files.yaml"  # of own tables, while others replace them
QUICK = "quick"  # the profile of a new source
STUDENTS = "students"
PRESET_GROUPS = "preset"  # as `--groups preset`: its `students`
Preset = Mapping[str, Any]


class PresetError(ValueError):
    """A preset does not exist, or has no groups of this name; the message says which there are."""


def read_preset(root: Path, source: str) -> Preset:
    """A source's preset: `settings`, `profiles` and `groups` by name, `without_users`.

    Raises:
        PresetError: there is none.
    """
    path = root / PRESETS / f"{source}.yaml"
    try:
        preset: Preset = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PresetError(f"{path}: preset not found") from None
    return preset


def settings_in(preset: Preset, source: str, profile: str, *, without_users: bool) -> Settings:
    """The settings of a preset with a profile, and its changes for data without users."""
    overlays = [preset["profiles"][profile]]
    if without_users and source != "online-retail":
        overlays.append(preset["without_users"])
    return reduce(overlaid, overlays, preset["settings"])


def overlaid(settings: Settings, changes: Settings) -> Settings:
    """Settings with changes; students are replaced together, other blocks key by key."""
    merged = dict(settings)
    for block, values in changes.items():
        whole = block == STUDENTS or not isinstance(values, dict)
        merged[block] = values if whole else {**merged.get(block, {}), **values}
    return merged


def changes_of(
    root: Path, source: str, profile: str | None, groups: str | None, params: Params,
    preset: Preset, *, without_users: bool,
) -> tuple[Settings, Settings]:  # fmt: skip
    """What source, profile and groups change in params.yaml, and the students that they replace.

    Own tables keep the user's students and attributes, unless other groups are named.
    """
    changes: Settings = {"source": source}
    if profile is not None or source != params.source:
        settings = settings_in(preset, source, profile or QUICK, without_users=without_users)
        changes |= keep_own(settings, params, root) if source == OWN else settings
    else:  # the preset's rules cannot read attributes that the settings leave out
        bare = without_users or not params.features.attributes
        settings = settings_in(preset, source, QUICK, without_users=bare)
    replaced = dumped(params)
    if source != params.source:
        replaced = changes.get(STUDENTS, replaced)
    if groups is not None:
        changes[STUDENTS] = students_of(root, groups, preset, replaced, settings[STUDENTS], source)
    return changes, replaced


def choose_groups(
    given: str | None, source: str, profile: str | None, params: Params, preset: Preset
) -> str | None:
    """The groups to write; None: as the source and the profile have them.

    Args:
        given: a name of the preset's groups, or `preset`; None: those that are set, and the
            preset's for another source.

    Raises:
        PresetError: see `check_groups`.
    """
    if given is not None:
        check_groups(given, preset)
        return given
    if profile is None or source != params.source:
        return None
    return groups_set(dumped(params), preset)


def check_groups(name: str, preset: Preset) -> None:
    """Check that a preset has groups of this name; `preset` are its own.

    Raises:
        PresetError: it has not; the message suggests similar names.
    """
    names = [PRESET_GROUPS, *preset["groups"]]
    if name not in names:
        raise PresetError(f"no groups `{name}`; {suggest(name, names)}")


def same_students(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two blocks of students mean the same."""
    a, b = ({n: Student.model_validate(s) for n, s in one.items()} for one in (ours, theirs))
    return a == b


def groups_set(students: Mapping[str, Any], preset: Preset) -> str | None:
    """The name of the preset's groups that students are; None for its own, and for any other."""
    named = preset["groups"].items()
    return next((name for name, groups in named if same_students(students, groups)), None)


def dumped(params: Params) -> Settings:
    """The students of params.yaml as they are written there, without defaults."""
    return {name: s.model_dump(exclude_unset=True) for name, s in params.students.items()}


def students_of(
    root: Path, name: str, preset: Preset, before: Settings, own: Settings, source: str
) -> Settings:
    """The students that groups of a preset are.

    Args:
        name: of the preset's groups, or `preset`: its own, or the user's for own tables.
        before: the students that they replace. own: the students of the preset itself.
    """
    if name != PRESET_GROUPS:
        named: Settings = preset["groups"][name]
        return named
    if source != OWN:
        return own
    if groups_set(before, preset) is None:
        return before
    kept = root / OWN_GROUPS
    return read_yaml(kept)[STUDENTS] if kept.is_file() else own


def remember_groups(root: Path, students: Settings, preset: Preset) -> None:
    """Keep the students of the user's own tables for the way back from named groups."""
    if groups_set(students, preset) is not None:
        return
    if same_students(students, preset["settings"][STUDENTS]):
        (root / OWN_GROUPS).unlink(missing_ok=True)
        return
    keep(root / OWN_GROUPS, yaml.safe_dump({STUDENTS: students}, sort_keys=False))
    print(f"note: the students of `{OWN}` are in {OWN_GROUPS}; `decant configure --groups="
          f"{PRESET_GROUPS}` takes them back", file=sys.stderr)  # fmt: skip


def remember_own(root: Path, text: str) -> None:
    """Keep params.yaml of the user's own tables for the way back from another source."""
    keep(root / OWN_SETTINGS, text)
    print(f"note: the students and attributes of `{OWN}` are in {OWN_SETTINGS}; `decant configure "
          f"--source={OWN}` takes them back", file=sys.stderr)  # fmt: skip


def keep(path: Path, text: str) -> None:
    """Write a file that is not part of the project."""
    path.parent.mkdir(exist_ok=True)
    replace_file(path, text)


def keep_own(preset: Settings, params: Params, root: Path) -> Settings:
    """Put the user's students and attributes in place of those of a preset.

    They are those in params.yaml that its source's preset does not have; after another source,
    those that were there before it.
    """
    if params.source != OWN and (root / OWN_SETTINGS).is_file():
        own = read_yaml(root / OWN_SETTINGS)
        attributes = own.get("features", {}).get("attributes")
        features = {} if attributes is None else {"attributes": attributes}
        students = {STUDENTS: own[STUDENTS]} if STUDENTS in own else {}
        return {**preset, **students, "features": {**preset["features"], **features}}
    path = root / PRESETS / f"{params.source}.yaml"
    earlier = read_preset(root, params.source)
    untouched = parse_params({"source": params.source, **earlier["settings"]}, path)
    changes = dict(preset)
    named = groups_set(dumped(params), earlier) is not None
    if params.students != untouched.students and not named:
        del changes[STUDENTS]
    if params.features.attributes != untouched.features.attributes:
        changes["features"] = {k: v for k, v in changes["features"].items() if k != "attributes"}
    return changes


def read_yaml(path: Path) -> Settings:
    """The content of a file that `decant configure` has kept."""
    settings: Settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings
