"""Digest the code of every step, so that a changed function reruns the stages that use it.

Digested too is what stages read from outside of data/: the pseudonym key, a BERT, a teacher.
"""

import ast
import hashlib
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("decant", "tasks")
FOLDER = Path("data/fingerprints")
KEY, BERT, INIT = "key", "bert", "init"
SCRATCH = Path("data/models/None")  # what dvc.yaml's `data/models/${item.init}` is for init: null
_CALLED = re.compile(r"\bpython3? -m tasks\.(\w+)")


def main(root: Path = Path()) -> dict[str, str]:
    """Write the fingerprints of each step's code, the pseudonym key and models outside; by name.

    A file whose content is unchanged is not touched; one whose step is gone is removed.
    """
    prints = {name: fingerprint(root, f"tasks.{name}") for name in steps(root)}
    prints[KEY] = key_fingerprint(root)
    prints |= outside_fingerprints(root)
    write_scratch(root)
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in prints.items():
        write_changed(folder / f"{name}.txt", digest + "\n")
    for path in folder.iterdir():
        if path.suffix != ".txt" or path.stem not in prints:
            path.unlink()
    return prints


def write_scratch(root: Path) -> None:
    """Write the file that students from scratch depend on in place of a model to start from."""
    path = root / SCRATCH
    params = importlib.import_module("decant.params.load").load_params(root / "params.yaml")
    if any(student.init is None for student in params.students.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_changed(path, "from scratch\n")
    else:
        path.unlink(missing_ok=True)


def steps(root: Path) -> list[str]:
    """Names of the programs that dvc.yaml calls, this one left out."""
    text = (root / "dvc.yaml").read_text(encoding="utf-8")
    own = Path(__file__).stem
    return sorted(set(_CALLED.findall(text)) - {own})


def key_fingerprint(root: Path) -> str:
    """Fingerprint of the pseudonym key: another key gives other pseudonyms."""
    privacy = importlib.import_module("decant.data.privacy")
    return str(privacy.key_fingerprint(root))


def outside_fingerprints(root: Path) -> dict[str, str]:
    """Digests of the models that the settings name and that lie outside of data/, by name."""
    params = importlib.import_module("decant.params.load").load_params(root / "params.yaml")
    outside = importlib.import_module("decant.models.external")
    return {BERT: outside.bert_digest(params), INIT: outside.teacher_digest(root, params)}


def fingerprint(root: Path, module: str) -> str:
    """Digest of the code of `module` and of all it imports from the project, transitively."""
    digest = hashlib.sha256()
    for name, path in sorted(closure(root, module).items()):
        digest.update(f"{name}\n{code(path)}\n".encode())
    return digest.hexdigest()


def closure(root: Path, module: str) -> dict[str, Path]:
    """`module` and the project's modules that it imports, directly or not: name -> file.

    Imports inside functions count, those under `if TYPE_CHECKING:` do not.

    Raises:
        FileNotFoundError: `module` itself is not there.
    """
    modules: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        path = locate(root, name)
        if path is None:
            if name == module:
                raise FileNotFoundError(f"dvc.yaml calls `{module}`, which is not there")
            continue
        modules[name] = path
        waiting += _with_packages(name)
        waiting += imports(ast.parse(path.read_bytes()), name, is_package=_is_package(path))
    return modules


def locate(root: Path, module: str) -> Path | None:
    """File of a module of the project, None if it is not one."""
    if module.split(".")[0] not in PACKAGES:
        return None
    stem = root.joinpath(*module.split("."))
    for path in (stem / "__init__.py", stem.with_suffix(".py")):
        if path.is_file():
            return path
    return None


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


def code(path: Path) -> str:
    """The code of a file without comments, docstrings and formatting."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return ast.unparse(tree)


def write_changed(path: Path, text: str) -> None:
    """Write a file at once; leave it alone if it already says so."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


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


def _is_package(path: Path) -> bool:
    return path.name == "__init__.py"


def _is_text(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


if __name__ == "__main__":
    main()
