"""One model on disk: weights, shape, catalogue, figures; the manifest is written last.

Does not import torch, because serving reads bundles too.
"""

import json
from pathlib import Path
from typing import Any

from decant.files import digest_file

MANIFEST = "manifest.json"
CONFIG, ITEMS, METRICS = "config.json", "items.json", "metrics.json"
WEIGHTS, GRAPH = "model.safetensors", "model.onnx"
MAX_LENGTH = "max_length"  # metadata of a graph that reads fewer events than a request has


class BundleError(ValueError):
    """A bundle is missing, incomplete or not what its manifest says."""


def write_text_files(
    folder: Path, config: dict[str, Any], items: tuple[str, ...], metrics: dict[str, Any]
) -> None:
    """Write the text files of a bundle; creates the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((CONFIG, config), (ITEMS, list(items)), (METRICS, metrics)):
        write_json(folder / name, content)


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def seal(folder: Path) -> None:
    """Write the manifest, which completes the bundle."""
    files = {p.name: digest_file(p) for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    write_json(folder / MANIFEST, {"files": files})


def check(folder: Path) -> None:
    """Verify that a bundle is unchanged since it was sealed.

    Raises:
        BundleError: no manifest, or a file is missing or modified.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise BundleError(f"{folder}: no {MANIFEST}, so this is not a complete model")
    for name, expected in json.loads(manifest.read_text("utf-8"))["files"].items():
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name} is missing")
        if digest_file(folder / name) != expected:
            raise BundleError(f"{folder / name} was changed after it was written")


def read_json(folder: Path, name: str) -> Any:
    """One of a bundle's text files."""
    return json.loads((folder / name).read_text("utf-8"))


def size_bytes(folder: Path, without: tuple[str, ...] = (WEIGHTS,)) -> int:
    """Bytes of the files that are served."""
    return sum(p.stat().st_size for p in folder.iterdir() if p.name not in without)
