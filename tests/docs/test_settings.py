"""The settings reference: every setting, with its default, what it may be and what it means."""

from pathlib import Path

import pytest
import yaml

from decant.params.effects import ALWAYS, TABLE
from docs._generate import settings
from docs._generate.meanings import BLOCKS, MEANINGS
from docs._generate.schema import literal

ROOT = Path(__file__).resolve().parents[2]
LISTED = {setting.key: setting for setting in settings.settings(ROOT)}
PAGE = settings.page(ROOT)


def test_every_setting_is_listed_once() -> None:
    assert set(LISTED) == ALWAYS | set(TABLE)
    assert {key.split(".")[0] for key in LISTED if "." in key} | {"students"} == set(BLOCKS)
    for key in LISTED:
        assert PAGE.count(f"{{ #{key} }}") == 1


@pytest.mark.parametrize("key", LISTED)
def test_a_setting_has_a_meaning_and_its_default(key: str) -> None:
    setting = LISTED[key]
    row = next(line for line in PAGE.splitlines() if f"{{ #{key} }}" in line)
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert len(cells) == 5
    assert setting.meaning and cells[1] and "anything" not in cells[1]
    if key != "students":
        assert cells[2] == literal(setting.default)
        assert cells[3] == literal(setting.shipped)


def test_meanings_are_of_keys_inside_of_settings_alone() -> None:
    parts = {"students.NAME", "tune.space.NAME", "table"}
    assert {key.rpartition(".")[0] for key in MEANINGS} == parts
    assert set(MEANINGS) & set(LISTED) == set()


def test_a_setting_that_may_have_no_effect_says_when() -> None:
    silent = {key for key in TABLE if not settings.without_effect(key)}
    assert silent == set()
    assert settings.without_effect("seed") == []
    assert settings.without_effect("split.test") == [
        "with `split.method: leave-one-out` each window is one event of a user"
    ]


def test_a_comment_is_taken_from_behind_its_setting_or_from_above_it() -> None:
    text = (
        "seed: 7  # of all\nsplit:   # how\n  test: 0.1   # last share\n  name: 'a # b'\n"
        "  # inputs,\n  # in order\n  inputs: [a, b]\n"
    )
    assert settings.comments(text) == {
        "seed": "of all",
        "split": "how",
        "split.test": "last share",
        "split.inputs": "inputs, in order",
    }
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    known = set(LISTED) | set(shipped)
    assert set(settings.comments((ROOT / "params.yaml").read_text(encoding="utf-8"))) <= known
