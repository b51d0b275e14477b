"""Check that the raw logs of the source exist; generate those of the demo shop."""

import json
from pathlib import Path

from decant.data.sources.demo.simulator import generate, hash_files
from decant.data.sources.layout import check_present
from decant.params.data import Raw
from tasks.runner.step import Summary, Workspace, program

DEMO = "demo"


class EditedShopError(ValueError):
    """The demo shop's settings changed, but `files` were edited."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self.folder, self.files = folder, files
        super().__init__(
            f"the `raw` block of params.yaml changed, but {', '.join(files)} in {folder} "
            f"{'was' if len(files) == 1 else 'were'} edited: set `raw` back to keep the edits, "
            "or remove the folder to generate the shop again"
        )


def run(workspace: Workspace) -> Summary:
    """Generate the demo shop unless its files were edited; for other sources, check the files."""
    source = workspace.params.source
    folder = workspace.root / "data" / "raw" / source
    if source == DEMO:
        return prepare_demo(folder, workspace.params.raw)
    check_present(source, folder, workspace.params.ingest)
    return {"source": source, "files": sum(path.is_file() for path in folder.rglob("*"))}


def prepare_demo(folder: Path, settings: Raw) -> Summary:
    """Generate the shop into `folder`, unless its files were edited or are foreign.

    Raises:
        EditedShopError: files were edited, and the settings differ from those of the generation.
    """
    made = folder / "demo.json"
    if folder.is_dir() and not made.is_file():
        return {"source": DEMO, "kept": sorted(path.name for path in folder.iterdir())}
    record = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else None
    edited = edited_files(folder, record["files"]) if record else []
    if record and edited:
        if record["settings"] != settings.model_dump():
            raise EditedShopError(folder, edited)
        return {"source": DEMO, "edited": edited}
    generate(folder, settings)
    return {"source": DEMO, "generated": settings.model_dump()}


def edited_files(folder: Path, made: dict[str, str]) -> list[str]:
    """Names of files that differ from the generated ones; `made`: name -> sha256."""
    now = hash_files(folder)
    return sorted(name for name in {*made, *now} if made.get(name) != now.get(name))


if __name__ == "__main__":
    program(run)
