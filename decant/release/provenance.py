"""With which code and which packages a release was made."""

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
TRAVELS_ALONG = ("dvc.lock", "params.yaml")  # their content is in the release


def provenance(root: Path) -> dict[str, Any]:
    """The commit of the code, what differed from it, and versions; nothing of the machine's names.

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
    """Files that differ from the commit, but for those whose content is in the release."""
    listed = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--", ".") or ""
    names: list[str] = []
    entries = iter(listed.split("\0"))
    for entry in entries:
        if entry:
            names.append(entry[3:])
        if entry[:1] in ("R", "C"):
            next(entries)  # the old name of what was renamed
    return sorted(name for name in names if name not in TRAVELS_ALONG)


def git(root: Path, *arguments: str) -> str | None:
    """What git says; None without git, a repository or a commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def version(package: str) -> str | None:
    """The installed version, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
