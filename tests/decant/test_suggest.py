"""Hints for misspelt names: the nearest, else all, and never more work or text than allowed."""

import ast
import sys
from pathlib import Path

import pytest

from decant import suggest as module
from decant.suggest import LISTED, MANY, SEARCHED, SHOWN, nearest, suggest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_nearest_name_is_suggested() -> None:
    assert suggest("recomend", ["serve", "recommend"]) == "did you mean `recommend`?"


def test_all_names_are_listed_in_their_order_where_none_is_near() -> None:
    assert suggest("zzz", ["serve", "fetch"], "commands") == "commands: serve, fetch"


def test_the_list_may_follow_a_suggestion() -> None:
    hint = suggest("veiw", iter(["view", "cart"]), also_list=True)
    assert hint == "did you mean `view`? known: view, cart"


def test_without_any_name_it_says_none() -> None:
    assert suggest("a", [], "columns") == "columns: none"


def test_case_counts_unless_told_otherwise() -> None:
    assert nearest("TITLE", ["title"]) is None
    assert nearest("TITLE", ["Titel", "title"], ignore_case=True) == "title"
    assert nearest("title", ["Title", "TITLE"], ignore_case=True) == "Title"


def test_among_more_names_than_are_searched_none_is_suggested() -> None:
    names = [f"item-{number}" for number in range(SEARCHED + 1)]
    assert suggest("itm-1", names[:-1]) == "did you mean `item-1`?"
    assert suggest("itm-1", names).startswith("known: item-0, item-1, ")
    assert suggest("itm-1", names, searched=MANY) == "did you mean `item-1`?"


def test_long_names_are_neither_compared_nor_shown_whole() -> None:
    assert nearest("a" * (SHOWN + 1), ["a" * SHOWN]) is None
    assert nearest("a" * SHOWN, ["a" * (SHOWN + 1)]) is None
    assert suggest("b", ["a" * 1000]) == f"known: {'a' * SHOWN}"


def test_a_long_list_is_cut() -> None:
    names = [f"name{number}" for number in range(LISTED + 2)]
    assert suggest("zzz", names).endswith(f"name{LISTED - 1} and 2 more")
    assert suggest("zzz", names, listed=1) == f"known: name0 and {LISTED + 1} more"


def test_only_the_standard_library_is_imported() -> None:
    tree = ast.parse(Path(str(module.__file__)).read_bytes())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("folder", ["decant", "tasks", "flows", "benchmarks"])
def test_no_other_module_searches_for_near_names(folder: str) -> None:
    offenders = [
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / folder).rglob("*.py")
        if "get_close_matches" in path.read_text(encoding="utf-8")
    ]
    assert offenders == (["decant/suggest.py"] if folder == "decant" else [])
