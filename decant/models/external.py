"""Digests of models outside the project's data, so that DVC detects their changes."""

from collections.abc import Iterable
from pathlib import Path

from decant.files import digest, digest_file
from decant.models.bert import TextError, files_of, find_bert
from decant.params.load import Params

NONE = "none"


def bert_digest(params: Params) -> str:
    """Digest of the BERT of `embed.bert`; `none` if it is not used or missing."""
    if params.embed.encoder != "bert":
        return NONE
    try:
        return digest_files(files_of(find_bert(str(params.embed.bert))))
    except (TextError, OSError):  # the step that reads it reports the problem
        return NONE


def teacher_digest(root: Path, params: Params) -> str:
    """Digest of the teacher of `teacher.warm_start`; `none` if it is not used or missing."""
    if params.teacher.warm_start is None:
        return NONE
    folder = root / params.teacher.warm_start
    try:
        return digest_files(sorted(path for path in folder.iterdir() if path.is_file())) or NONE
    except OSError:
        return NONE


def digest_files(files: Iterable[Path]) -> str:
    """One digest of the names and contents of files."""
    return digest(f"{path.name} {digest_file(path)}\n".encode() for path in files)
