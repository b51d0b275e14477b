import numpy as np
import pytest

from decant.models.bert import TextError
from decant.models.text import embed_texts
from decant.params.data import Embed

TEXTS = ["small red pan", "large red pan", "chess set", "", "chess game", "garden hose"]
HASHED = Embed(encoder="hashed", dimension=4)


def test_one_unit_vector_per_item_and_none_for_no_item() -> None:
    vectors = embed_texts(TEXTS, HASHED).vectors
    assert vectors.shape == (len(TEXTS) + 1, 4)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, [0, 1, 1, 1, 0, 1, 1], atol=1e-6)


def test_texts_that_share_words_are_nearer() -> None:
    vectors = embed_texts(TEXTS, HASHED).vectors
    pans, other = vectors[1] @ vectors[2], vectors[1] @ vectors[3]
    assert pans > 0.5 > other


def test_the_same_texts_have_the_same_vectors() -> None:
    assert np.array_equal(embed_texts(TEXTS, HASHED).vectors, embed_texts(TEXTS, HASHED).vectors)


@pytest.mark.parametrize("texts", [["", ""], ["one"], ["one", "one"]])
def test_few_or_empty_texts_have_vectors_too(texts: list[str]) -> None:
    vectors = embed_texts(texts, HASHED).vectors
    assert vectors.shape == (len(texts) + 1, 4)
    assert np.isfinite(vectors).all()


def test_progress_counts_every_text() -> None:
    done: list[int] = []
    embed_texts(TEXTS, HASHED, done.append)
    assert sum(done) == len(TEXTS)


def test_a_bert_needs_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TextError, match=r"needs transformers: pip install 'decant\[bert\]'"):
        embed_texts(TEXTS, Embed(encoder="bert", bert="anywhere"))
