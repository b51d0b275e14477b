import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from decant.models.text import TextError, embed_texts
from decant.params import Embed

TEXTS = ["small red pan", "large red pan", "chess set", "", "chess game", "garden hose"]
HASHED = Embed(encoder="hashed", dimension=4)


def test_one_unit_vector_per_item_and_none_for_no_item() -> None:
    vectors = embed_texts(TEXTS, HASHED)
    assert vectors.shape == (len(TEXTS) + 1, 4)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths, [0, 1, 1, 1, 0, 1, 1], atol=1e-6)


def test_texts_that_share_words_are_nearer() -> None:
    vectors = embed_texts(TEXTS, HASHED)
    pans, other = vectors[1] @ vectors[2], vectors[1] @ vectors[3]
    assert pans > 0.5 > other


def test_the_same_texts_have_the_same_vectors() -> None:
    assert np.array_equal(embed_texts(TEXTS, HASHED), embed_texts(TEXTS, HASHED))


@pytest.mark.parametrize("texts", [["", ""], ["one"], ["one", "one"]])
def test_few_or_empty_texts_have_vectors_too(texts: list[str]) -> None:
    vectors = embed_texts(texts, HASHED)
    assert vectors.shape == (len(texts) + 1, 4)
    assert np.isfinite(vectors).all()


def test_progress_counts_every_text() -> None:
    done: list[int] = []
    embed_texts(TEXTS, HASHED, done.append)
    assert sum(done) == len(TEXTS)


class Tokenizer:
    """One token per letter: its place in the alphabet."""

    @staticmethod
    def from_pretrained(folder: Path, **_: Any) -> "Tokenizer":
        return Tokenizer()

    def __call__(self, texts: list[str], **_: Any) -> dict[str, torch.Tensor]:
        longest = max(len(text) for text in texts)
        rows = [[ord(c) - 96 for c in text] + [0] * (longest - len(text)) for text in texts]
        ids = torch.tensor(rows)
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}


class Bert:
    """States are [1, token] wherever it stands; of padding too."""

    @staticmethod
    def from_pretrained(folder: Path, **_: Any) -> "Bert":
        return Bert()

    def eval(self) -> "Bert":
        return self

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        ids = torch.where(attention_mask > 0, input_ids, 999).float()
        return SimpleNamespace(last_hidden_state=torch.stack([torch.ones_like(ids), ids], 2))


def test_a_bert_gives_the_mean_of_its_tokens_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("transformers")
    module.__spec__ = ModuleSpec("transformers", None)
    vars(module).update(AutoModel=Bert, AutoTokenizer=Tokenizer)
    monkeypatch.setitem(sys.modules, "transformers", module)
    (tmp_path / "config.json").write_text("{}")
    texts = ["a", "ac", "e"] * 30  # more than one batch
    vectors = embed_texts(texts, Embed(encoder="bert", bert=str(tmp_path)))
    means = np.array([[1, 1], [1, 2], [1, 5]] * 30)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors[1:], expected, rtol=1e-6)


def test_a_bert_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    settings = Embed(encoder="bert", bert=str(tmp_path / "none"))
    known = importlib.util.find_spec("transformers") is not None
    with pytest.raises(TextError, match="neither a folder" if known else "needs transformers"):
        embed_texts(TEXTS, settings)
