"""Names that a release's files may have, and those that would deceive somebody."""

import pytest

from decant.release.names import file_problems, is_aside, is_plain, name_problems

ENTRY = {"sha256": "0" * 64, "bytes": 3, "stored": None}


@pytest.mark.parametrize(
    "path", ["router.json", "dvc.lock", "students/women/model.onnx", "students/größe/a-b_c.json"]
)
def test_a_file_at_the_top_or_of_a_student_has_a_plain_name(path: str) -> None:
    assert is_plain(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/a", "a/", "./a", "../a", "a/b", "students/a", "students/a/b/c", "other/a/b"),
        *("students//a", "students/./a", "students/../a", "students/a/..", "a\\b", "c:a", "a*"),
        *(".a", "a.", "a b", " a", "a\t", "a\n", "a\0", "a\x7f", "a\u200b", "a\u202eb", "a\u2028"),
        *("students", "STUDENTS", "manifest.json", "MANIFEST.JSON", "a" * 256, "\ud800"),
    ],
)
def test_what_leads_elsewhere_or_cannot_be_seen_is_no_name(path: str) -> None:
    assert not is_plain(path)
    [problem] = name_problems([path])
    assert problem.isascii() and problem.isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("router.json", "Router.json"),
        ("students/women/model.onnx", "students/Women/model.onnx"),
        ("students/caf\u00e9/a", "students/cafe\u0301/a"),
        ("students/fi/a", "students/\ufb01/a"),
    ],
)
def test_names_that_some_file_systems_take_for_one_are_two_too_many(one: str, other: str) -> None:
    assert name_problems([one, other]) == [f"`{one}` and `{other}` differ only in case"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"stored": "b"}, "cannot be stored as 'b'"),
        ({"stored": "a.0123"}, "cannot be stored as"),
        ({"stored": "../a.0123456789abcdef"}, "cannot be stored as"),
        ({"sha256": "0" * 63 + "X"}, "has an invalid sha256"),
        ({"bytes": -1}, "has an invalid size, -1 bytes"),
    ],
)
def test_what_is_said_of_a_file_is_checked(change: dict[str, object], problem: str) -> None:
    assert file_problems({"a": ENTRY}) == []
    [result] = file_problems({"a": {**ENTRY, **change}})
    assert problem in result


def test_a_name_beside_another_is_that_and_a_digest() -> None:
    assert is_aside("a.json.0123456789abcdef", "a.json")
    assert not is_aside("a.json", "a.json")
    assert not is_aside("b.json.0123456789abcdef", "a.json")
    assert not is_aside("a.json.0123456789ABCDEF", "a.json")
