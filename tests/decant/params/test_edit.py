"""Editing params.yaml changes the lines of values that differ, and no other, in any layout."""

import difflib
import itertools
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from decant.params.edit import EditError, Settings, render, replace, rewrite
from decant.params.load import ParamsError, parse_params
from decant.params.types import SOURCES

REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
PRESETS = {
    source: yaml.safe_load((REPOSITORY / "presets" / f"{source}.yaml").read_text(encoding="utf-8"))
    for source in SOURCES
}
GENERAL = "students:\n  general: {init: teacher}\n"
STUDENTS = {"general": {"init": "teacher"}}


def preset(source: str, profile: str) -> Settings:
    """Every setting of a preset with a profile's."""
    settings: Settings = {"source": source, **PRESETS[source]["settings"]}
    for block, values in PRESETS[source]["profiles"][profile].items():
        settings[block] = {**settings[block], **values}
    return settings


def flat(settings: Settings) -> dict[tuple[str, ...], Any]:
    """`block, key -> value`: what stands on one line each."""
    pairs: dict[tuple[str, ...], Any] = {}
    for block, values in settings.items():
        inside = values.items() if isinstance(values, dict) else [(None, values)]
        pairs |= {(block, key) if key else (block,): value for key, value in inside}
    return pairs


def line_keys(text: str) -> list[tuple[tuple[str, ...], str]]:
    """The key of each line with a setting, and the line."""
    keys, block = [], ""
    for line in text.splitlines():
        name = line.split("#")[0].split(":")[0]
        if not name.strip():
            continue
        if not line.startswith(" "):
            block = name
            keys.append(((block,), line))
        elif not line.startswith("   "):
            keys.append(((block, name.strip()), line))
    return keys


def changes(before: str, after: str) -> tuple[list[str], list[str]]:
    """Lines of the first text alone, and of the second alone."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [x[2:] for x in lines if x[0] == "-"], [x[2:] for x in lines if x[0] == "+"]


@pytest.mark.parametrize(("source", "profile"), itertools.product(SOURCES, ["quick", "full"]))
def test_exactly_the_lines_of_values_that_differ_change(source: str, profile: str) -> None:
    settings = preset(source, profile)
    after = rewrite(COMMITTED, settings)
    before_values, wanted = flat(yaml.safe_load(COMMITTED)), flat(settings)
    removed = {k for k in before_values if k[0] == "students"} - wanted.keys()
    differ = {k for k, v in wanted.items() if k not in before_values or before_values[k] != v}
    old, new = dict(line_keys(COMMITTED)), dict(line_keys(after))
    assert {k for k in old | new if old.get(k) != new.get(k)} == differ | removed
    gone, added = changes(COMMITTED, after)
    assert len(gone) == len({k for k in differ if k in before_values} | removed)
    assert len(added) == len(differ)
    assert flat(yaml.safe_load(after)) | wanted == flat(yaml.safe_load(after))


@pytest.mark.parametrize(("source", "profile"), itertools.product(SOURCES, ["quick", "full"]))
def test_a_comment_behind_a_value_keeps_its_column(source: str, profile: str) -> None:
    old, new = (
        dict(line_keys(t)) for t in (COMMITTED, rewrite(COMMITTED, preset(source, profile)))
    )
    for key in old.keys() & new.keys():
        text, comment = old[key].partition(" #")[::2]
        if comment:
            assert new[key].partition(" #")[2] == comment
            moved = new[key].index(" #") != old[key].index(" #")
            assert not moved or len(new[key].partition(" #")[0].rstrip()) >= len(text)


def test_nothing_changes_where_no_value_differs() -> None:
    assert rewrite(COMMITTED, preset("demo", "quick")) == COMMITTED
    assert rewrite(COMMITTED, {}) == COMMITTED


def test_a_comment_moves_only_where_the_value_needs_its_place() -> None:
    text = "teacher:\n  epochs: 8 # of all data\n"
    assert rewrite(text, {"teacher": {"epochs": 9}}) == text.replace("8", "9")
    assert rewrite(text, {"teacher": {"epochs": 10}}) == text.replace("8", "10")
    longer = text.replace("8 #", "8  #")
    assert rewrite(longer, {"teacher": {"epochs": 10}}) == text.replace("8", "10")


def test_students_stand_on_a_line_each_with_their_rule_in_double_quotes() -> None:
    end = "\n\ncompress:\n  max_loss: 0.1\n"
    text = f"{GENERAL}  a: {{init: general, where: x == 1}}  # the first{end}"
    rule = "city == 'Orléans' and note == \"a\\\\b\""
    students = {**STUDENTS, "b": {"init": "general", "where": rule, "priority": 3}}
    after = rewrite(text, {"students": students})
    line = f"  b: {{init: general, where: {json.dumps(rule, ensure_ascii=False)}, priority: 3}}"
    assert after == GENERAL + line + end
    assert yaml.safe_load(after)["students"] == students


def test_a_student_that_stays_keeps_its_line_and_comments_between_students_stay() -> None:
    text = (
        "students:  # by priority\n"
        "  general: { init: teacher }  # everybody else\n"
        "  # the young\n"
        "  a: {init: general, where: 'age < 20'}\n"
        "  b: {init: general, where: 'age > 60'}\n"
    )
    students = {
        "general": {"init": "teacher"},
        "b": {"init": "general", "where": "age > 60"},
        "c": {"init": "general", "where": "age > 80"},
    }
    assert rewrite(text, {"students": students}).splitlines() == [
        *text.splitlines()[:3],
        "  b: {init: general, where: 'age > 60'}",
        '  c: {init: general, where: "age > 80"}',
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.003, "0.003"),
        (0.00001, "0.00001"),
        (1e-12, "0.000000000001"),
        (1e22, "10000000000000000000000.0"),
        (2.0, "2.0"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ("", '""'),
        ("next", "next"),
        ("no", '"no"'),
        ("12:30", '"12:30"'),
        ("1e-3", "1e-3"),
        ("0 3 * * *", "0 3 * * *"),
        (" a", '" a"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ('it\'s, "x"', '"it\'s, \\"x\\""'),
        ("two\nlines", '"two\\nlines"'),
        ([], "[]"),
        (["item", "a, b", 1], '[item, "a, b", 1]'),
        ({"low": 0.1, "choices": None}, "{low: 0.1, choices: null}"),
        ({}, "{}"),
    ],
)
def test_a_value_is_written_as_yaml_reads_it(value: Any, written: str) -> None:
    assert render(value) == written
    assert yaml.safe_load(written) == value


def test_a_long_list_stays_on_one_line() -> None:
    after = rewrite(COMMITTED, {"features": {"attributes": [f"attribute_{n}" for n in range(60)]}})
    _, (line,) = changes(COMMITTED, after)
    assert line.endswith("attribute_59]")


LAYOUTS = {
    "a block list": (
        "teacher:\n  inputs:  # what it reads\n    - item # always\n    - text\n"
        "\n  # then\n  epochs: 3\n",
        "teacher:\n  inputs: [item] # what it reads\n\n  # then\n  epochs: 4\n",
    ),
    "a list over lines": (
        "teacher:\n  inputs: [item,\n           text]  # c\n  epochs: 3\n",
        "teacher:\n  inputs: [item]  # c\n  epochs: 4\n",
    ),
    "braces": (
        "teacher: {epochs: 3, inputs: [item, text]}\n",
        "teacher:\n  epochs: 4\n  inputs: [item]\n",
    ),
    "braces with a comment": (
        "teacher: {epochs: 3}  # small\n\nseed: 3\n",
        "teacher:              # small\n  epochs: 4\n  inputs: [item]\n\nseed: 3\n",
    ),
    "no such block": ("seed: 3\n", "seed: 3\n\nteacher:\n  inputs: [item]\n  epochs: 4\n"),
    "an empty block": (
        "teacher:  # later\nseed: 3\n",
        "teacher:  # later\n  inputs: [item]\n  epochs: 4\nseed: 3\n",
    ),
    "no line end": ("teacher:\n  epochs: 3", "teacher:\n  epochs: 4\n  inputs: [item]"),
    "a blank line behind": (
        "teacher:\n  epochs: 3  \n\nseed: 3\n",
        "teacher:\n  epochs: 4\n  inputs: [item]\n\nseed: 3\n",
    ),
    "wide": (
        "teacher:\n      epochs :   3\n      'inputs':  \"item\"\n",
        "teacher:\n      epochs :   4\n      'inputs':  [item]\n",
    ),
    "a merge": (
        "distill: &same\n  epochs: 3\n  inputs: [item]\nteacher:\n  <<: *same\n  layers: 1\n",
        "distill: &same\n  epochs: 3\n  inputs: [item]\nteacher:\n  <<: *same\n  layers: 1\n"
        "  epochs: 4\n",
    ),
    "an alias of a block": (
        "distill: &same\n  epochs: 3\nteacher: *same # too\n",
        "distill: &same\n  epochs: 3\nteacher:       # too\n  epochs: 4\n  inputs: [item]\n",
    ),
    "an alias of a value": (
        "distill:\n  epochs: &n 3\nteacher:\n  epochs: *n # too\n  inputs: [item]\n",
        "distill:\n  epochs: &n 3\nteacher:\n  epochs: 4  # too\n  inputs: [item]\n",
    ),
    "a document": ("%YAML 1.1\n---\nteacher:\n  epochs: 3\n...\n",
                   "%YAML 1.1\n---\nteacher:\n  epochs: 4\n  inputs: [item]\n...\n"),
    "other spellings": (
        "teacher: { }\ntune: {space: { dropout: { low: 0, high: .5 , log: False }}}\nfeatures:\n"
        "  exclude_seen: True\n  attributes: ~\n".replace("~", "[ ]"),
        "teacher:\n  inputs: [item]\n  epochs: 4\ntune: {space: { dropout: { low: 0, high: .5 , "
        "log: False }}}\nfeatures:\n  exclude_seen: True\n  attributes: [ ]\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_are_edited_too(layout: str) -> None:
    before, after = LAYOUTS[layout]
    assert rewrite(before, {"teacher": {"inputs": ["item"], "epochs": 4}}) == after


@pytest.mark.parametrize(
    "before",
    [
        "students:\n  general:\n    init: teacher\n  a:\n    init: general\n    where: x == 1\n",
        "students: {general: {init: teacher}}\n",
        "students:\n    general: {init: teacher}\n    a: {init: general,\n        where: x == 1}\n",
        "seed: 3\n",
    ],
)
def test_students_in_other_layouts_are_edited_too(before: str) -> None:
    students = {**STUDENTS, "b": {"init": "general", "where": "x == 2"}}
    after = rewrite(before, {"students": students})
    assert yaml.safe_load(after)["students"] == students
    assert 'b: {init: general, where: "x == 2"}' in after.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("teacher: &t\n  epochs: 3\ndistill:\n  <<: *t\n", "`distill` would change"),
        ("teacher: &t {epochs: 3}\ndistill: *t\n", "found undefined alias"),
        ("{seed: 3, teacher: {epochs: 3}}\n", "cannot edit settings inside braces"),
        ("- a\n", "expected a mapping of blocks, got list"),
        ("", "expected a mapping of blocks, got NoneType"),
    ],
)
def test_a_layout_that_cannot_be_edited_is_one_clear_line(text: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem) as caught:
        rewrite(text, {"teacher": {"epochs": 4}}, Path("shop/params.yaml"))
    assert str(caught.value).startswith("shop/params.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "settings", "problem"),
    [
        ("seed: 3\n", {"teacher": {"epoch": 3}}, "unknown key `teacher.epoch`"),
        ("seed: 3\nseed: 4\n", {"teacher": {"epochs": 3}}, "`seed` is given twice"),
        ("seed: 3\n", {"students": {}}, "students must contain `general`"),
    ],
)
def test_settings_that_do_not_fit_are_refused(text: str, settings: Settings, problem: str) -> None:
    with pytest.raises(ParamsError, match=problem):
        rewrite(text, settings)


def test_the_new_text_is_read_as_the_new_settings() -> None:
    settings = preset("movielens-1m", "full")
    params = parse_params(yaml.safe_load(rewrite(COMMITTED, settings)))
    assert params.teacher.dimension == 256
    assert list(params.students) == list(settings["students"])


def test_a_file_keeps_its_line_ends_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"teacher:\r\n  epochs: 3  # c\r\nseed: 3")
    path.chmod(0o640)
    replace(path, rewrite(path.read_text(encoding="utf-8"), {"teacher": {"epochs": 4}}))
    assert path.read_bytes() == b"teacher:\r\n  epochs: 4  # c\r\nseed: 3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["params.yaml"]


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    text = "\ufeffteacher:\n  epochs: 3\n"
    assert rewrite(text, {"teacher": {"epochs": 4}}) == text.replace("3", "4")
