"""Download a public data set: official address, resumable, checksum verified, unpacked safely."""

import argparse
import hashlib
import http.client
import os
import shutil
import ssl
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tqdm import tqdm

from decant.commands.parser import add_command
from decant.data.sources.layout import MissingFilesError, check_present
from decant.params.types import MOVIELENS_1M
from decant.suggest import suggest

ATTEMPTS = 5
PAUSE = 0.5  # seconds before the first retry; doubled each time
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16
RETAIL_PAGE = "https://archive.ics.uci.edu/dataset/352/online+retail"


@dataclass(frozen=True)
class Download:
    """An archive: URL of the official folder, file name, published md5."""

    base_url: str
    archive: str
    md5: str


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
DOWNLOADS = {
    "movielens-100k": Download(_GROUPLENS, "ml-100k.zip", "0e33842e24a9c977be4e0107933c0723"),
    "movielens-1m": Download(_GROUPLENS, "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906"),
}


class FetchError(ValueError):
    """A data set cannot be fetched; the message says why and what to do."""


class TruncatedError(Exception):
    """The connection ended before the file did; the bytes received so far are kept."""


BROKEN = (  # errors worth a retry, unlike a full disk
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    TruncatedError,
)


def fetch(name: str, destination: Path, *, base_url: str | None = None) -> Path:
    """Download the data set `name` into the folder `destination`, unless it exists.

    An interrupted download resumes where it stopped, in the same call or a later one.
    `base_url` replaces the official folder (a mirror).

    Returns:
        `destination`, with the publisher's files directly in it.

    Raises:
        FetchError: unknown name, no connection, wrong checksum, unsafe archive, or a folder that
            holds something else.
    """
    download = _known(name)
    if _complete(name, destination):
        return destination
    if destination.exists() and any(destination.iterdir()):
        raise FetchError(
            f"{destination} holds other files: move them, or choose a folder with --into"
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.parent / f".{download.archive}.part"
    download_file(f"{(base_url or download.base_url).rstrip('/')}/{download.archive}", part)
    verify(part, download.md5)
    unpack(part, destination)
    if not _complete(name, destination):
        raise FetchError(f"{download.archive} lacks files of {name}")
    part.unlink()
    return destination


def download_file(url: str, part: Path) -> None:
    """Download `url` into `part`, resuming after the existing bytes.

    Raises:
        FetchError: the server refuses, or the connection failed `ATTEMPTS` times in a row.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            return _receive(url, part)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise FetchError(f"{url}: the server answers {error.code} {error.reason}") from None
            problem = f"{error.code} {error.reason}"
        except BROKEN as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 1 if _size(part) > before else failures + 1
        if failures >= ATTEMPTS:
            hint = (
                f"; {_size(part):,} bytes are kept, run it again to resume" if _size(part) else ""
            )
            raise FetchError(f"{url}: {problem}{hint}") from None
        time.sleep(PAUSE * 2 ** (failures - 1))


def verify(path: Path, md5: str) -> None:
    """Compare a download with its published checksum; remove it if they differ.

    Raises:
        FetchError: they differ.
    """
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "md5").hexdigest()
    if checksum != md5:
        path.unlink()
        raise FetchError(
            f"the download has md5 {checksum}, expected {md5}: the file was removed, run the "
            "command again"
        )


def unpack(archive: Path, destination: Path) -> None:
    """Unzip atomically: `destination` appears with all files or not at all.

    A single top-level folder is stripped. Paths outside the archive, links and encrypted members
    are refused.

    Raises:
        FetchError: an unsafe or broken archive.
    """
    temporary = destination.with_name(f".{destination.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in _safe(opened.infolist()):
                target = temporary.joinpath(*PurePosixPath(member.filename).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
        inside = list(temporary.iterdir())
        whole = inside[0] if len(inside) == 1 and inside[0].is_dir() else temporary
        if destination.exists():
            destination.rmdir()
        os.replace(whole, destination)
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise FetchError(f"{archive.name}: not a usable zip file: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def add_commands(subparsers: Any) -> None:
    """Register `decant fetch`."""
    parser = add_command(subparsers, "fetch", str(__doc__), run, has_root=False)
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(sorted(DOWNLOADS))}")
    parser.add_argument("--into", type=Path, metavar="DIR", help="folder, default data/raw/NAME")
    parser.add_argument("--base-url", metavar="URL", help="a mirror of the publisher's folder")


def run(arguments: argparse.Namespace) -> int:
    """Run `decant fetch`.

    Raises:
        FetchError: see `fetch`.
    """
    into = arguments.into or Path("data/raw") / arguments.name
    folder = fetch(arguments.name, into, base_url=arguments.base_url)
    published = ", with PROTOCOL=p1 for the published benchmark"
    more = published if arguments.name == MOVIELENS_1M else ""
    print(f"{folder}: next `make run SOURCE={arguments.name} FROM={folder}`{more}")
    return 0


def _known(name: str) -> Download:
    if name in DOWNLOADS:
        return DOWNLOADS[name]
    if name == "online-retail":
        raise FetchError(
            "online-retail is published as a spreadsheet without a checksum: download it from "
            f"{RETAIL_PAGE}, save its sheet as CSV, then "
            "`make run SOURCE=online-retail FROM=folder`"
        )
    hint = suggest(name, sorted(DOWNLOADS), "data sets")
    raise FetchError(f"no data set `{name}` to fetch; {hint}")


def _complete(name: str, folder: Path) -> bool:
    try:
        check_present(name, folder)
    except MissingFilesError:
        return False
    return True


def _receive(url: str, part: Path) -> None:
    start = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "decant"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the file is complete; the checksum decides
        raise
    with answer:
        resumes = answer.status == http.client.PARTIAL_CONTENT
        if not resumes:
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if resumes else "wb") as file:
            _copy(answer, file, start, total, url.rsplit("/", 1)[-1])
    if total is not None and _size(part) < total:
        raise TruncatedError(f"the connection ended at {_size(part):,} of {total:,} bytes")


def _copy(answer: BinaryIO, file: BinaryIO, start: int, total: int | None, name: str) -> None:
    with tqdm(
        desc=name,
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        file=sys.stderr,
    ) as bar:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _safe(members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    files = []
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        link = stat.S_ISLNK(member.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in member.filename or link:
            raise FetchError(f"the archive holds an unsafe name: {member.filename!r}")
        if not member.is_dir():
            files.append(member)
    return files


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
