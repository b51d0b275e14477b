import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decant.data.sources.files import UnreadableTableError, decode, read_content

TEXT = b"user,item\n1,2\n" * 50


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return made.getvalue()


PACKED = {
    ".gz": gzip.compress(TEXT),
    ".bz2": bz2.compress(TEXT),
    ".xz": lzma.compress(TEXT),
    ".zip": zipped("log.csv"),
    "": TEXT,
}


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", PACKED)
def test_a_packed_file_is_unpacked(tmp_path, kind: str) -> None:
    assert read_content(write(tmp_path, f"log.csv{kind}", PACKED[kind]), "log") == TEXT


@pytest.mark.parametrize("spoil", [lambda packed: packed[:40], lambda packed: TEXT])
@pytest.mark.parametrize("kind", [kind for kind in PACKED if kind])
def test_what_is_cut_off_or_not_packed_is_an_error_with_the_files_name(
    tmp_path, kind: str, spoil: Callable[[bytes], bytes]
) -> None:
    path = write(tmp_path, f"log.csv{kind}", spoil(PACKED[kind]))
    with pytest.raises(UnreadableTableError, match=rf"^log: cannot be unpacked as {kind}, .*: \w"):
        read_content(path, "log")


def test_an_archive_of_several_files_is_an_error(tmp_path) -> None:
    with pytest.raises(UnreadableTableError, match="contains 2 files, expected one"):
        read_content(write(tmp_path, "log.zip", zipped("a", "b")), "log")


def test_text_of_another_encoding_is_an_error_with_its_line() -> None:
    assert decode("\ufeffé".encode(), "log") == "é"
    with pytest.raises(UnreadableTableError, match="log: not utf-8 text in line 3"):
        decode(b"a\nb\n\xe9\n", "log")
