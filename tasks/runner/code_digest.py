"""Digests of code: of a module and of all that it imports from the project, transitively.

Comments, docstrings and formatting do not count, and neither does the version of Python.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

PACKAGES = ("decant", "tasks")


@dataclass
class Code:
    """The modules of the project's `packages` below `root`; each is parsed once."""

    root: Path
    packages: Sequence[str] = PACKAGES
    _parsed: dict[Path, tuple[list[str], str]] = field(default_factory=dict)

    def digest(self, module: str) -> str:
        """Digest of the code of `module` and of all it imports from the project, transitively.

        Raises:
            FileNotFoundError: `module` itself does not exist.
        """
        digest = hashlib.sha256()
        for name, path in sorted(self.closure(module).items()):
            digest.update(f"{name} {self._read(name, path)[1]}\n".encode())
        return digest.hexdigest()

    def closure(self, module: str) -> dict[str, Path]:
        """`module` and the project modules it imports, transitively: name -> file.

        Includes imports inside functions, excludes those under `if TYPE_CHECKING:`.

        Raises:
            FileNotFoundError: `module` itself does not exist.
        """
        modules: dict[str, Path] = {}
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name in modules:
                continue
            path = self.locate(name)
            if path is None:
                if name == module:
                    raise FileNotFoundError(f"the program `{module}` does not exist")
                continue
            modules[name] = path
            waiting += _with_packages(name) + self._read(name, path)[0]
        return modules

    def libraries(self, module: str) -> set[str]:
        """Top-level names that a closure imports from outside the project, as in the code."""
        names = (
            imported
            for name, path in self.closure(module).items()
            for imported in self._read(name, path)[0]
        )
        return {name.split(".")[0] for name in names} - {*self.packages, ""}

    def locate(self, module: str) -> Path | None:
        """File of a project module, None for other modules."""
        if module.split(".")[0] not in self.packages:
            return None
        stem = self.root.joinpath(*module.split("."))
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                return path
        return None

    def _read(self, name: str, path: Path) -> tuple[list[str], str]:
        """The imports of a file, and the digest of its code."""
        if path not in self._parsed:
            tree = ast.parse(path.read_bytes())
            imported = imports(tree, name, is_package=path.name == "__init__.py")
            self._parsed[path] = imported, hashlib.sha256(code(tree).encode()).hexdigest()
        return self._parsed[path]


def imports(tree: ast.AST, module: str, *, is_package: bool) -> list[str]:
    """Names that may be modules: for `from a import b` both `a` and `a.b`."""
    names: list[str] = []
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [part for name in names for part in (*_with_packages(name), name)]


def code(tree: ast.AST) -> str:
    """The code of a parsed file without comments, docstrings and formatting; changes `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return written(tree)


def written(node: object) -> str:
    """A syntax tree as text, the same in every version of Python.

    `ast.unparse` and `ast.dump` are not: they differ in quotes, f-strings and empty fields.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(written, node))}]"
    if isinstance(node, ast.Constant):
        return ascii(node.value)
    if not isinstance(node, ast.AST):
        return ascii(node)
    values = {name: getattr(node, name, None) for name in node._fields}
    if isinstance(node, ast.JoinedStr):
        values = {"values": _joined(node.values)}
    shown = [f"{n}={written(v)}" for n, v in values.items() if v is not None and v != []]
    return f"{type(node).__name__}({', '.join(shown)})"


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, with neighbouring texts as one and without empty ones."""
    joined: list[ast.expr] = []
    for is_text, run in groupby(parts, lambda part: isinstance(part, ast.Constant)):
        if not is_text:
            joined += run
        elif text := "".join(str(part.value) for part in run if isinstance(part, ast.Constant)):
            joined.append(ast.Constant(text))
    return joined


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield child
        yield from _runtime_nodes(child)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _with_packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _is_text(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )
