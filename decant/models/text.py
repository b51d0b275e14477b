"""Item text → vectors: hashed words, without any download, or a pretrained BERT."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from decant.models.bert import embed, load_bert
from decant.params.data import Embed

HASH_WIDTH = 2**16


@dataclass(frozen=True)
class Texts:
    """Unit vectors float32 [N + 1, width], row 0 (padding) zero; number of truncated texts."""

    vectors: np.ndarray
    cut: int = 0


def embed_texts(
    texts: list[str], settings: Embed, progress: Callable[[int], None] = lambda done: None
) -> Texts:
    """Vectors of items' texts; a text without words has a zero vector.

    Raises:
        TextError: the BERT of `embed.bert` is missing or cannot be used.
    """
    cut = 0
    if settings.encoder == "bert":
        bert = load_bert(str(settings.bert))
        vectors, cut = embed(bert, texts, settings.threads, progress)
    else:
        vectors = hashed(texts, settings.dimension)
        progress(len(texts))
    return Texts(with_no_item(unit(vectors)), cut)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to unit length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-12)


def with_no_item(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, W] → float32 [N + 1, W] with a zero row for index 0."""
    return np.vstack([np.zeros((1, vectors.shape[1])), vectors]).astype(np.float32)


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
