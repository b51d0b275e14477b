"""A mutation of the project's own code, as data, and whether it still fits the code."""

import ast
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Change = tuple[str, str, str, str]  # name, the exact text, its replacement, the harm


@dataclass(frozen=True)
class Mutation:
    """A change of one decision of the code, which tests must notice.

    `old`: a text that occurs exactly once in the file `path`; `new`: its replacement; `tests`:
    files or single tests, of which one must fail; `harm`: what goes wrong in the world otherwise.
    """

    name: str
    path: str
    old: str
    new: str
    harm: str
    tests: tuple[str, ...]


def mutate(path: str, tests: str, *changes: Change) -> list[Mutation]:
    """The changes of one file that the same tests must notice.

    Args:
        tests: their places, separated by blanks, relative to `tests/`.
    """
    places = tuple(f"tests/{place}" for place in tests.split())
    return [Mutation(name, path, old, new, harm, places) for name, old, new, harm in changes]


def problems(mutations: Iterable[Mutation], root: Path) -> list[str]:
    """List what makes mutations stale, one line each: texts and tests that no longer exist."""
    listed = list(mutations)
    names = Counter(mutation.name for mutation in listed)
    lines = [f"{name}: {count} mutations have this name" for name, count in names.items()
             if count > 1]  # fmt: skip
    for mutation in listed:
        problem = text_problem(mutation, root)
        lines += [f"{mutation.name}: {problem}"] if problem else []
        for test in mutation.tests:
            if not place_exists(test, root):
                lines.append(f"{mutation.name}: there is no test {test}")
    return lines


def text_problem(mutation: Mutation, root: Path) -> str | None:
    """Why a mutation cannot be applied, or None."""
    path = root / mutation.path
    if not path.is_file():
        return f"there is no file {mutation.path}"
    count = path.read_text("utf-8").count(mutation.old)
    if count != 1:
        return f"its text occurs {count} times in {mutation.path}, not once: {mutation.old!r}"
    return "its replacement is equal to its text" if mutation.new == mutation.old else None


def place_exists(place: str, root: Path) -> bool:
    """Whether a folder or file of tests, or one test of a file (`FILE::NAME`), exists."""
    file, _, name = place.partition("::")
    path = root / file
    if not name:
        return path.exists()
    if not path.is_file():
        return False
    tree = ast.parse(path.read_bytes())
    return any(isinstance(node, ast.FunctionDef) and node.name == name.partition("[")[0]
               for node in ast.walk(tree))  # fmt: skip


def mutated(mutation: Mutation, content: str) -> str:
    """The content of the file with the mutation.

    Raises:
        ValueError: its text does not occur exactly once.
    """
    if content.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name} is stale: {mutation.path} has changed")
    return content.replace(mutation.old, mutation.new)
