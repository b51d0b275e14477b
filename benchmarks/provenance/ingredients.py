"""What a benchmark's figures are made of: code, settings, data, libraries.

Digests of all four make the key of a results file: if one differs, its figures are stale.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.catalogue import Benchmark
from benchmarks.provenance.settings import Chosen, is_generated, settings_of
from decant.files import canonical, digest, pieces
from tasks.runner.code_digest import Code

PACKAGES = ("decant", "tasks", "flows", "benchmarks")
CONSTRAINTS = "constraints.txt"
OTHERWISE_NAMED = {"sklearn": "scikit-learn", "yaml": "pyyaml", "ruamel": "ruamel-yaml"}
KINDS = ("code", "settings", "data", "libraries")


@dataclass(frozen=True)
class Ingredients:
    """What figures were made of.

    `code`: digest by program. `settings`: value by dotted name. `data`: MD5 by folder, as in
    dvc.lock; empty if the data follows from code and settings. `libraries`: version by package.
    """

    code: dict[str, str]
    settings: dict[str, Any]
    data: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)

    def changes(self, now: "Ingredients") -> dict[str, list[str]]:
        """Names of the parts that differ, by kind; kinds without any are left out."""
        differ = {kind: differences(getattr(self, kind), getattr(now, kind)) for kind in KINDS}
        return {kind: names for kind, names in differ.items() if names}

    def key(self) -> str:
        """One digest of everything."""
        return digest(canonical(asdict(self)))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, or that only one mapping has."""
    return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))


def programs_of(benchmark: Benchmark) -> list[str]:
    """The modules whose code a benchmark runs, in processes of their own or not."""
    return [benchmark.module, *benchmark.programs, *(f"tasks.{s}" for s in benchmark.stages)]


def code_of(code: Code, benchmark: Benchmark) -> dict[str, str]:
    """Digest of each program's code with all it imports; a missing program is `missing`."""
    return {
        program: code.digest(program) if code.locate(program) else "missing"
        for program in programs_of(benchmark)
    }


def libraries_of(code: Code, benchmark: Benchmark) -> dict[str, str]:
    """The pinned versions of the packages that a benchmark's code imports."""
    pins = pinned(code.root / CONSTRAINTS)
    programs = [name for name in programs_of(benchmark) if code.locate(name) is not None]
    imported = {name for program in programs for name in code.libraries(program)}
    packages = {OTHERWISE_NAMED.get(name, normal(name)) for name in imported}
    return {name: pins[name] for name in sorted(packages & pins.keys())}


def pinned(path: Path) -> dict[str, str]:
    """Version by package, of a constraints file; empty without one."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {normal(name): version.strip() for name, version in pairs}


def normal(name: str) -> str:
    """A package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def ingredients(
    code: Code, benchmark: Benchmark, chosen: Chosen, folders: Iterable[Path] = ()
) -> Ingredients:
    """The ingredients as they are in the tree `code.root`.

    Args:
        folders: workspaces that may have the raw data; the first that has it is digested.

    Raises:
        ValueError: see `settings_of`.
    """
    settings = settings_of(code.root, benchmark, chosen)
    data = {} if is_generated(benchmark) else raw_data(folders, f"data/raw/{benchmark.source}")
    return Ingredients(code_of(code, benchmark), settings, data, libraries_of(code, benchmark))


def raw_data(workspaces: Iterable[Path], place: str) -> dict[str, str]:
    """The digest of the raw data in the first workspace that has some; empty without any."""
    there = (workspace / place for workspace in workspaces)
    folder = next((folder for folder in there if folder.is_dir() and any(folder.iterdir())), None)
    return {} if folder is None else {place: dvc_digest(folder)}


def dvc_digest(folder: Path) -> str:
    """The MD5 of a folder as DVC writes it into dvc.lock."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    listed = [{"md5": md5(pieces(path)), "relpath": name} for name, path in sorted(files.items())]
    return f"{md5([json.dumps(listed, sort_keys=True).encode()])}.dir"


def md5(parts: Iterable[bytes]) -> str:
    """The MD5 of bytes, which DVC identifies content by."""
    hasher = hashlib.md5(usedforsecurity=False)
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def data_in_lock(root: Path, place: str) -> dict[str, str]:
    """The digest of the raw data that dvc.lock of a workspace names; empty without one."""
    path = root / "dvc.lock"
    if not path.is_file():
        return {}
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    outs = stages.get("raw", {}).get("outs", [])
    return {out["path"]: out["md5"] for out in outs if out["path"] == place}
