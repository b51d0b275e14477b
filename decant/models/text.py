"""Item text → vectors: hashed words with no download, or a real pretrained BERT."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from decant.params import Embed

HASH_WIDTH = 2**16
BERT_BATCH = 64
BERT_TOKENS = 64


class TextError(ValueError):
    """The text encoder that was asked for cannot be loaded."""


def embed_texts(
    texts: list[str], settings: Embed, progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Vectors of items' texts, float32 [N + 1, width], unit length; row 0 (no item) is zero.

    A text without words has a zero vector.

    Raises:
        TextError: the BERT is not where `embed.bert` says.
    """
    if settings.encoder == "bert":
        vectors = bert(texts, str(settings.bert), progress)
    else:
        vectors = hashed(texts, settings.dimension)
        progress(len(texts))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-12)
    return np.vstack([np.zeros((1, unit.shape[1])), unit]).astype(np.float32)


def hashed(texts: list[str], dimension: int) -> np.ndarray:
    """Words and pairs of words, hashed, weighted by rarity, reduced (latent semantic analysis)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    words = HashingVectorizer(n_features=HASH_WIDTH, ngram_range=(1, 2), alternate_sign=False)
    counts = words.transform(texts)
    rank = min(dimension, min(counts.shape) - 1)
    if counts.nnz == 0 or rank < 1:
        return np.zeros((len(texts), dimension))
    weighted = TfidfTransformer().fit_transform(counts)
    reduced = TruncatedSVD(rank, random_state=0).fit_transform(weighted)
    return np.pad(reduced, ((0, 0), (0, dimension - rank)))


def bert(texts: list[str], place: str, progress: Callable[[int], None]) -> np.ndarray:
    """Mean of the last layer's states over each text's tokens; offline."""
    folder = find_bert(place)
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    rows = []
    for start in range(0, len(texts), BERT_BATCH):
        batch = tokenizer(
            texts[start : start + BERT_BATCH],
            padding=True,
            truncation=True,
            max_length=BERT_TOKENS,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(2)
        rows.append(((states * mask).sum(1) / mask.sum(1)).float().numpy())
        progress(len(rows[-1]))
    return np.concatenate(rows)


def find_bert(place: str) -> Path:
    """The folder of a BERT: `place` itself, or the one an installed package of that name carries.

    Raises:
        TextError: neither exists.
    """
    if importlib.util.find_spec("transformers") is None:
        raise TextError("embed.encoder is bert, which needs transformers: pip install decant[bert]")
    if (Path(place) / "config.json").is_file():
        return Path(place)
    spec = importlib.util.find_spec(place) if place.isidentifier() else None
    for root in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(root).rglob("config.json"))
        models = [path.parent for path in found if (path.parent / "model.safetensors").is_file()]
        if models:
            return models[0]
    raise TextError(
        f"embed.bert: `{place}` is neither a folder with config.json and model.safetensors nor an "
        "installed package that carries one"
    )
