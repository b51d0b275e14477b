"""Provenance of a release: code and packages."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "dvc",
    "great_expectations",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "prefect",
    "torch",
    "transformers",
)
RELEASED_FILES = ("dvc.lock", "params.yaml")  # their content is in the release


def provenance(root: Path) -> dict[str, Any]:
    """The code's commit, files that differ from it, and versions; no names of the machine.

    Returns:
        `{"commit": hex or None without Git, "dirty": bool or None, "changed": [path],
        "python": version, "platform": "linux x86_64", "packages": {name: version}}`.
    """
    commit = git(root, "rev-parse", "HEAD")
    changed = changed_files(root) if commit else []
    return {
        "commit": commit.strip() if commit else None,
        "dirty": bool(changed) if commit else None,
        "changed": changed,
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()} {platform.machine()}",
        "packages": {name: installed for name in PACKAGES if (installed := version(name))},
    }


def changed_files(root: Path) -> list[str]:
    """Files that differ from the commit, except those included in the release."""
    listed = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--", ".") or ""
    names: list[str] = []
    entries = iter(listed.split("\0"))
    for entry in entries:
        if entry:
            names.append(entry[3:])
        if entry[:1] in ("R", "C"):
            next(entries)  # the old name of a renamed file
    return sorted(name for name in names if name not in RELEASED_FILES)


def git(root: Path, *arguments: str) -> str | None:
    """Output of git; None without git, a repository or a commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def version(package: str) -> str | None:
    """The installed version of a package, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
