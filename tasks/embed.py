"""Turn the text of every item into a vector."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from decant.models.text import embed_texts
from tasks.program import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the items' texts, write one vector per item."""
    texts = pd.read_parquet(workspace.input("features") / "items.parquet")["text"].tolist()
    settings = workspace.params.embed
    output = workspace.output("vectors")
    if settings.encoder == "none":
        vectors = np.zeros((len(texts) + 1, 0), dtype=np.float32)
    else:
        with tqdm(total=len(texts), unit="item", desc="text", mininterval=5) as bar:
            vectors = embed_texts(texts, settings, bar.update)
    np.save(output / "items.npy", vectors, allow_pickle=False)
    return {
        "encoder": settings.encoder,
        "items": len(texts),
        "width": int(vectors.shape[1]),
        "without_text": sum(not text for text in texts),
    }


def describe(summary: Summary) -> str:
    return (
        f"{summary['items']:,} items, {summary['width']} numbers each, by `{summary['encoder']}`; "
        f"{summary['without_text']:,} items have no text."
    )


if __name__ == "__main__":
    program(run)
