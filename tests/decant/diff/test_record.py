"""dvc.lock and params.yaml as flat mappings."""

import pytest

from decant.diff.record import flat, not_as_run, read_record, read_settings
from decant.files import ContentError

LOCK = b"""
schema: '2.0'
stages:
  ingest:
    cmd: python -m tasks.ingest
    deps:
    - {path: data/raw, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 10}
    params:
      params.yaml:
        split: {method: time, test: 0.1}
        seed: 3
    outs:
    - {path: data/ingested, hash: md5, md5: 0123456789abcdef0123456789abcde0.dir, size: 20}
"""


def test_a_stage_is_read_with_its_settings_by_dotted_name() -> None:
    stage = read_record("dvc.lock", LOCK)["ingest"]
    assert stage.settings == {"split.method": "time", "split.test": 0.1, "seed": 3}
    assert stage.deps == {"data/raw": "0123456789abcdef0123456789abcdef.dir"}
    assert list(stage.outs) == ["data/ingested"]


def test_records_of_training_times_are_not_compared() -> None:
    of_ingest = b"    - {path: data/ingested,"
    times = b"    - {path: data/training/teacher, md5: 0123456789abcdef0123456789abcde1.dir}\n"
    stage = read_record("dvc.lock", LOCK.replace(of_ingest, times + of_ingest))["ingest"]
    assert list(stage.outs) == ["data/ingested"]


def test_nested_settings_are_flat_and_lists_are_values() -> None:
    assert flat({"a": {"b": [1], "c": {}}, "d": None}) == {"a.b": [1], "a.c": {}, "d": None}


def test_settings_that_its_stages_did_not_run_with_are_named() -> None:
    record = read_record("dvc.lock", LOCK)
    settings = read_settings("params.yaml", b"split: {method: time, test: 0.2}\nseed: 3\n")
    assert not_as_run(settings, record) == ["split.test"]
    assert not_as_run(read_settings("params.yaml", b"seed: 3\n"), record) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"stages: [", "it is not YAML, line 1"),
        (b"\xff", "it is not UTF-8"),
        (b"- a\n", "expected a mapping, got list"),
        (b"", "expected a mapping, got NoneType"),
        (b"stages: [a]\n", "its `stages` are not a mapping"),
        (b"stages: {ingest: {deps: []}}\n", "stage `ingest` has no command"),
        (b"stages: {ingest: {cmd: a, outs: [{md5: a}]}}\n", "files without path and md5"),
        (
            b"stages: {ingest: {cmd: a, outs: [{path: b, md5: ../../key}]}}\n",
            "without path and md5",
        ),
        (b"stages: {ingest: null}\n", "stage `ingest`"),
    ],
)
def test_a_damaged_record_is_told_in_a_line(content: bytes, problem: str) -> None:
    with pytest.raises(ContentError, match=problem) as error:
        read_record("dvc.lock of commit 12345678", content)
    assert str(error.value).startswith("dvc.lock of commit 12345678 is damaged: ")
    assert "\n" not in str(error.value)


def test_settings_of_an_earlier_version_have_todays_names() -> None:
    old = b"distill: {worst: 0.5}\nstudents: {a: {overrides: {anchor: 1}}, b: {init: null}}\n"
    assert read_settings("params.yaml", old) == {
        "distill.cvar_fraction": 0.5,
        "students.a.overrides.l2_sp": 1,
        "students.b.init": None,
    }
    lock = LOCK.replace(b"seed: 3", b"distill.others: 0.2")
    settings = read_record("dvc.lock", lock)["ingest"].settings
    assert settings["distill.background_ratio"] == 0.2
