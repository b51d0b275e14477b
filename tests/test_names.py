"""Names say what they hold: words that fit everything are not names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "decant", "flows", "tasks", "tests")
BANNED = {"of", "found", "told"}


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a file binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_name_fits_everything(folder: str) -> None:
    banned = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for name, line in names(ast.parse(path.read_bytes()))
        if name in BANNED
    ]
    assert banned == []


def test_every_kind_of_binding_is_seen() -> None:
    code = "import a as of\ndef told(found, *of): found = 1\nclass told: pass\ntry: pass\n"
    code += "except E as of: pass\n[of for of in x]\nfor found, *told in y: pass\n"
    assert len([name for name, _ in names(ast.parse(code)) if name in BANNED]) == 10
