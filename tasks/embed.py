"""Embed the text of every item, and align given vectors with the items."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from decant.data.vectors import align
from decant.models.external import bert_digest
from decant.models.text import embed_texts, with_no_item
from tasks.runner.step import Summary, Workspace, program

TEXT = "text"


def run(workspace: Workspace) -> Summary:
    """Read the items' texts and given vectors, write a <name>.npy [N + 1, width] for each."""
    items = pd.read_parquet(workspace.input("features") / "items.parquet")
    output = workspace.output("vectors")
    tables = workspace.input("item_vectors").glob("*.parquet")
    return {
        **embed_text(workspace, items["text"].tolist(), output),
        "modalities": {
            path.stem: place(path, items["item"].tolist(), output) for path in sorted(tables)
        },
    }


def embed_text(workspace: Workspace, texts: list[str], output: Path) -> Summary:
    """Write text.npy, unless `embed.encoder` is none."""
    settings, width, cut = workspace.params.embed, 0, 0
    if settings.encoder != "none":
        with tqdm(total=len(texts), unit="item", desc="text", mininterval=5) as bar:
            done = embed_texts(texts, settings, bar.update)
        np.save(output / f"{TEXT}.npy", done.vectors, allow_pickle=False)
        width, cut = int(done.vectors.shape[1]), done.cut
    return {
        "encoder": settings.encoder,
        "bert": bert_digest(workspace.params) if settings.encoder == "bert" else None,
        "items": len(texts),
        "width": width,
        "without_text": sum(not text.strip() for text in texts),
        "cut": cut,
    }


def place(path: Path, items: list[str], output: Path) -> Summary:
    """Write one modality's vectors in the order of the items."""
    table = pd.read_parquet(path)
    vectors, has_vector = align(table, items)
    np.save(output / f"{path.stem}.npy", with_no_item(vectors), allow_pickle=False)
    return {
        "width": int(vectors.shape[1]),
        "with_vector": int(has_vector.sum()),
        "without_vector": int((~has_vector).sum()),
        "unknown_items": len(table) - int(has_vector.sum()),
    }


def describe(summary: Summary) -> str:
    lines = [
        f"{summary['items']:,} items, {summary['width']} dimensions, by `{summary['encoder']}`; "
        f"{summary['without_text']:,} items have no text, {summary['cut']:,} texts were truncated."
    ]
    lines += [
        f"`{name}`: {counts['width']} dimensions; {counts['with_vector']:,} items have a vector, "
        f"{counts['without_vector']:,} have none (set to zeros); {counts['unknown_items']:,} "
        "vectors are of items without events."
        for name, counts in summary["modalities"].items()
    ]
    return "\n\n".join(lines)


if __name__ == "__main__":
    program(run)
