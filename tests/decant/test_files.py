"""Hashes and JSON are the same wherever and whenever they are made."""

import hashlib
from pathlib import Path

import pytest

from decant.files import (
    ContentError,
    canonical,
    digest,
    digest_file,
    digest_tree,
    parse_json,
    read_json,
    readable,
    short,
)


def test_a_digest_is_sha256_however_the_bytes_come(tmp_path: Path) -> None:
    content = b"x" * 3_000_000
    (tmp_path / "file").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert digest(content) == expected
    assert digest(iter([content[:7], content[7:]])) == expected
    assert digest_file(tmp_path / "file") == expected


def test_a_tree_is_its_files_without_summaries_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.csv", "sub/a.csv", "summary.json", "summary.md", ".gitignore", ".cache/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(digest_tree(tmp_path)) == ["b.csv", "sub/a.csv"]


def test_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [1.5, None]}) == canonical({"a": [1.5, None], "b": 1})
    assert canonical({"é": 1}) == b'{"\\u00e9":1}'
    assert readable({"b": 1, "a": "é"}).decode() == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_not_a_number_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"value": float("nan")})


@pytest.mark.parametrize("text", ["{", "", "\xff", "[1]", "3"])
def test_what_is_no_json_mapping_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep" / "er" / "router.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ContentError, match=r"deep/er/router\.json"):
        read_json(path)
    with pytest.raises(ContentError, match="here"):
        parse_json("here", path.read_bytes())


def test_a_short_path_says_nothing_of_the_machine() -> None:
    assert short(Path("/home/somebody/shop/data/candidate/router.json")) == (
        "data/candidate/router.json"
    )
