"""Digest the code of every step, so that a changed function reruns the stages that use it.

Also digests inputs outside data/: the pseudonym key, a BERT, a teacher to start from.
"""

import ast
import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from decant.files import replace_file

PACKAGES = ("decant", "tasks")
FOLDER = Path("data/fingerprints")
KEY, BERT, INIT = "key", "bert", "init"
SCRATCH = Path("data/models/None")  # `data/models/${item.init}` of dvc.yaml for init: null
_CALLED = re.compile(r"\bpython3? -m tasks\.(\w+)")


def main(root: Path = Path()) -> dict[str, str]:
    """Write fingerprints of the steps' code, the pseudonym key and external models, by name.

    Files with unchanged content are not touched; files of removed steps are deleted.
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
    """Write the file that students with `init: null` depend on instead of a model."""
    path = root / SCRATCH
    params = importlib.import_module("decant.params.load").load_params(root / "params.yaml")
    if any(student.init is None for student in params.students.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_changed(path, "from scratch\n")
    else:
        path.unlink(missing_ok=True)


def steps(root: Path) -> list[str]:
    """Names of the programs that dvc.yaml calls, except this one."""
    text = (root / "dvc.yaml").read_text(encoding="utf-8")
    own = Path(__file__).stem
    return sorted(set(_CALLED.findall(text)) - {own})


def key_fingerprint(root: Path) -> str:
    """Fingerprint of the pseudonym key, which determines the pseudonyms."""
    privacy = importlib.import_module("decant.data.privacy")
    return str(privacy.key_fingerprint(root))


def outside_fingerprints(root: Path) -> dict[str, str]:
    """Digests of the models outside data/ that the settings name, by name."""
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
        path = locate(root, name)
        if path is None:
            if name == module:
                raise FileNotFoundError(f"dvc.yaml calls `{module}`, which does not exist")
            continue
        modules[name] = path
        waiting += _with_packages(name)
        waiting += imports(ast.parse(path.read_bytes()), name, is_package=_is_package(path))
    return modules


def locate(root: Path, module: str) -> Path | None:
    """File of a project module, None for other modules."""
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
    """Write a file atomically, unless its content is the same already."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    replace_file(path, text)


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
