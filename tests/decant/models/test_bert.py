import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.files import digest_file
from decant.models import bert
from decant.models.bert import TextError, embed, find_bert, load_bert
from decant.models.bundle import WEIGHTS

transformers = pytest.importorskip("transformers")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "small", "pan", "hose", "chess")
TEXTS = ["red pan", "small green hose", "", "chess", "red red red red small small green pan"] * 20
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def silent(done: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of ten words, as transformers writes it."""
    place = tmp_path_factory.mktemp("bert")
    (place / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), intermediate_size=24, max_position_embeddings=20, **SIZES
    )
    transformers.BertModel(config).save_pretrained(place)
    transformers.BertTokenizerFast(vocab=str(place / "vocab.txt")).save_pretrained(place)
    return place


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def reference(folder: Path, text: str) -> np.ndarray:
    """The mean of the last layer's states of one text by itself, without any padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(**tokenizer([text], return_tensors="pt")).last_hidden_state
    return np.asarray(states[0].mean(dim=0))


def test_vectors_are_what_transformers_gives_one_text_at_a_time(folder: Path) -> None:
    vectors, cut = embed(load_bert(str(folder)), TEXTS, 1, silent)
    assert (vectors.shape, vectors.dtype, cut) == ((100, 16), np.float32, 0)
    for row in (0, 1, 3, 4):
        np.testing.assert_allclose(vectors[row], reference(folder, TEXTS[row]), atol=1e-5)
    np.testing.assert_allclose(vectors, np.tile(vectors[:5], (20, 1)), atol=1e-5)


def test_a_text_without_words_has_no_vector(folder: Path) -> None:
    vectors, _ = embed(load_bert(str(folder)), ["", " ", "pan"], 1, silent)
    assert np.flatnonzero(np.abs(vectors).sum(axis=1)).tolist() == [2]


def test_what_is_too_long_is_cut_and_counted(folder: Path) -> None:
    long = " ".join(["red"] * 50)
    vectors, cut = embed(load_bert(str(folder)), [long, long + " pan", "pan"], 1, silent)
    assert cut == 2
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_texts_are_read_in_pieces_and_all_are_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = embed(load_bert(str(folder)), TEXTS, 1, silent)
    monkeypatch.setattr(bert, "CHUNK", 7)
    monkeypatch.setattr(bert, "BATCH", 3)
    done: list[int] = []
    pieces, _ = embed(load_bert(str(folder)), TEXTS, 1, done.append)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
    assert sum(done) == len(TEXTS)


def test_pickled_weights_are_never_read(copied: Path) -> None:
    weights = transformers.BertModel.from_pretrained(copied).state_dict()
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    with pytest.raises(TextError, match="no safetensors weights, the only supported format"):
        load_bert(str(copied))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "has no model_type"),
        ("not JSON", "has no model_type"),
        ('{"model_type": "nonesuch"}', "cannot be loaded"),
        ('{"model_type": "t5"}', "cannot be loaded|lacks|not a text encoder"),
    ],
)
def test_a_folder_that_is_no_bert_is_told_in_a_line(
    copied: Path, content: str, problem: str
) -> None:
    (copied / "config.json").write_text(content)
    with pytest.raises(TextError, match=problem) as caught:
        load_bert(str(copied))
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_told(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(TextError, match=r"lacks \d+ weights, such as encoder\.layer\.2"):
        load_bert(str(copied))


def test_broken_weights_are_told(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(TextError, match="cannot be loaded"):
        load_bert(str(copied))


def test_an_installed_package_may_carry_the_bert(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "carries_a_bert"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copytree(folder, package / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_bert("carries-a-bert") == package / "model"


def test_a_pinned_package_with_other_weights_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pinned_bert"
    shutil.copytree(folder, package / "model")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    weights = digest_file(package / "model" / WEIGHTS)
    monkeypatch.setattr(bert, "PINNED", {"pinned_bert": weights})
    assert find_bert("pinned_bert") == package / "model"
    monkeypatch.setattr(bert, "PINNED", {"pinned_bert": "0" * 64})
    with pytest.raises(TextError, match="pinned_bert has other weights than"):
        find_bert("pinned_bert")


def test_what_is_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="neither a folder with config.json"):
        load_bert(str(tmp_path / "none"))
