"""A params.yaml of an earlier version: settings are renamed and added, nothing else changes."""

from pathlib import Path

import pytest
import yaml

from decant.params.load import ParamsError, parse_params
from decant.params.upgrade import missing_settings, rename, settings_in_graph, upgrade

REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


OLD = """\
# kept
teacher: {mask_share: 0.2, init_from: null}   # so is this
distill:
  "worst": 0.5        # a quoted key
  others: 0.3
students:
  general: {init: teacher}
  worst: {init: general, where: "others == 'a'", priority: 1, overrides: {anchor: 0.1}}
tune: {stage: distill, folds: 1, space: {worst: {low: 0.1, high: 1}}}
"""
NEW = """\
# kept
teacher: {mask_ratio: 0.2, warm_start: null}   # so is this
distill:
  cvar_fraction: 0.5        # a quoted key
  background_ratio: 0.3
students:
  general: {init: teacher}
  worst: {init: general, where: "others == 'a'", priority: 1, overrides: {l2_sp: 0.1}}
tune: {stage: distill, folds: 1, space: {cvar_fraction: {low: 0.1, high: 1}}}
"""


def test_settings_of_an_earlier_version_are_renamed_and_nothing_else_changes() -> None:
    assert rename(OLD) == NEW
    assert rename(NEW) == NEW
    assert rename(COMMITTED) == COMMITTED
    assert parse_params(yaml.safe_load(NEW)).distill.cvar_fraction == 0.5


def test_what_is_no_mapping_is_left_alone_by_renaming() -> None:
    assert rename("[1]\n") == "[1]\n"
    with pytest.raises(ParamsError, match="not valid YAML"):
        rename("a: [")


def test_a_setting_that_a_stage_needs_is_added_with_its_default() -> None:
    text = COMMITTED.replace("\n  taste_groups:", "\n  # taste_groups:")
    needed = settings_in_graph(REPOSITORY / "dvc.yaml")
    assert missing_settings(yaml.safe_load(text), needed) == ["distill.taste_groups"]
    after = upgrade(text, needed)
    assert yaml.safe_load(after) == yaml.safe_load(COMMITTED)
    assert "\n  taste_groups: 0\n" in after


def test_a_block_that_a_stage_needs_is_added() -> None:
    after = upgrade("seed: 3\n", ["knowledge", "seed"])
    assert yaml.safe_load(after)["knowledge"] == {
        "top_k": 50, "experts": True, "states": False, "relations": False,
    }  # fmt: skip


def test_what_is_up_to_date_stays_as_it_is() -> None:
    assert upgrade(COMMITTED, settings_in_graph(REPOSITORY / "dvc.yaml")) == COMMITTED


def test_settings_that_are_wrong_otherwise_are_an_error() -> None:
    with pytest.raises(ParamsError, match="distill.cvar_fraction"):
        upgrade("distill: {worst: 7}\n")


def test_settings_of_single_students_are_not_named_by_the_graph() -> None:
    names = settings_in_graph(REPOSITORY / "dvc.yaml")
    assert {"distill", "distill.min_users", "students", "seed"} <= set(names)
    assert not [name for name in names if "$" in name]


def test_a_setting_under_both_names_is_left_to_the_user() -> None:
    problem = (
        r"`distill\.anchor` \(line 3\) was renamed to `distill\.l2_sp`, which is there too "
        r"\(line 2\): remove one"
    )
    with pytest.raises(ParamsError, match=problem):
        rename("distill:\n  l2_sp: 0.1\n  anchor: 0.2\n")
