import argparse
import hashlib
import io
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from decant.commands import fetch as room
from decant.commands.fetch import Download, FetchError, add_commands, fetch

FILES = {"u.data": b"1\t2\t3\t4\n" * 40_000, "u.user": b"x", "u.item": b"y", "u.genre": b"z"}
NAME = "movielens-100k"


def packed(files: dict[str, bytes], folder: str = "ml-100k/") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return made.getvalue()


class Shelf(ThreadingHTTPServer):
    """Serves `content` under any path; cuts the first connections after so many bytes."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.cuts: list[int] = []
        self.failures: list[int] = []
        self.ranges_allowed = True
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.server.failures:
            return self.send_error(self.server.failures.pop(0))
        start = 0
        if wanted and self.server.ranges_allowed:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.server.content):
                return self.send_error(416)
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cuts.pop(0)] if self.server.cuts else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    server = Shelf(packed(FILES))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    offer(monkeypatch, server.content)
    monkeypatch.setattr(room, "PAUSE", 0.001)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def offer(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    download = Download("http://nowhere.invalid", "ml-100k.zip", hashlib.md5(content).hexdigest())
    monkeypatch.setitem(room.DOWNLOADS, NAME, download)


def rest(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_data_set_lies_in_its_folder_and_nothing_is_left_over(tmp_path, shelf, capsys) -> None:
    made = fetch(NAME, tmp_path / "raw" / NAME, base_url=shelf.url + "/")
    assert {path.name: path.read_bytes() for path in made.iterdir()} == FILES
    assert rest(tmp_path / "raw") == [NAME]
    assert shelf.asked == [("/ml-100k.zip", None)]
    assert "ml-100k.zip" in capsys.readouterr().err  # the progress bar


def test_what_is_there_is_not_fetched_again(tmp_path, shelf) -> None:
    for _ in range(2):
        fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert len(shelf.asked) == 1


def test_a_cut_connection_goes_on_where_it_stopped(tmp_path, shelf) -> None:
    shelf.cuts = [1000, 500]
    made = fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert (made / "u.data").read_bytes() == FILES["u.data"]
    assert [asked for _, asked in shelf.asked] == [None, "bytes=1000-", "bytes=1500-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path, shelf, monkeypatch) -> None:
    monkeypatch.setattr(room, "ATTEMPTS", 1)
    shelf.cuts = [1000]
    with pytest.raises(FetchError, match="1,000 bytes are kept, run it again to resume"):
        fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert rest(tmp_path) == [".ml-100k.zip.part"]
    fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert shelf.asked[-1][1] == "bytes=1000-"


def test_a_server_without_ranges_starts_again(tmp_path, shelf) -> None:
    shelf.ranges_allowed = False
    shelf.cuts = [1000]
    made = fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert (made / "u.data").read_bytes() == FILES["u.data"]


def test_a_download_that_was_complete_is_only_unpacked(tmp_path, shelf) -> None:
    (tmp_path / ".ml-100k.zip.part").write_bytes(shelf.content)
    fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert rest(tmp_path) == [NAME]


def test_a_wrong_checksum_is_an_error_and_the_download_removed(tmp_path, shelf) -> None:
    shelf.content = shelf.content[:-1] + b"!"
    with pytest.raises(FetchError, match=r"has md5 [0-9a-f]{32}, expected [0-9a-f]{32}"):
        fetch(NAME, tmp_path / NAME, base_url=shelf.url)
    assert rest(tmp_path) == []


def test_a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not(tmp_path, shelf) -> None:
    shelf.failures = [503, 500]
    fetch(NAME, tmp_path / "a", base_url=shelf.url)
    assert len(shelf.asked) == 3
    shelf.failures = [404]
    with pytest.raises(FetchError, match=r"ml-100k\.zip: the server answers 404"):
        fetch(NAME, tmp_path / "b", base_url=shelf.url)
    assert len(shelf.asked) == 4


def test_no_server_is_one_clear_line(tmp_path, shelf) -> None:
    address = "http://127.0.0.1:9"
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:9/ml-100k\.zip: .*refused"):
        fetch(NAME, tmp_path / NAME, base_url=address)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_a_name_that_points_elsewhere_is_refused(tmp_path, shelf, monkeypatch, name: str) -> None:
    shelf.content = packed({**FILES, name: b"evil"}, folder="")
    offer(monkeypatch, shelf.content)
    with pytest.raises(FetchError, match="unsafe name"):
        fetch(NAME, tmp_path / "in" / NAME, base_url=shelf.url)
    assert rest(tmp_path) == ["in"] and rest(tmp_path / "in") == [".ml-100k.zip.part"]


def test_a_link_in_the_archive_is_refused(tmp_path, shelf, monkeypatch) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        link = zipfile.ZipInfo("u.data")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    shelf.content = made.getvalue()
    offer(monkeypatch, shelf.content)
    with pytest.raises(FetchError, match="unsafe name"):
        fetch(NAME, tmp_path / NAME, base_url=shelf.url)


@pytest.mark.parametrize("content", [b"no zip file", packed({"readme": b"x"})])
def test_an_archive_that_is_not_the_data_set_is_an_error(
    tmp_path, shelf, monkeypatch, content: bytes
) -> None:
    shelf.content = content
    offer(monkeypatch, content)
    with pytest.raises(FetchError, match=r"not a usable zip file|lacks files of"):
        fetch(NAME, tmp_path / NAME, base_url=shelf.url)


def test_a_folder_with_other_files_is_left_alone(tmp_path, shelf) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FetchError, match="holds other files"):
        fetch(NAME, tmp_path, base_url=shelf.url)
    assert rest(tmp_path) == ["mine.txt"]


def test_unknown_names_list_what_there_is_and_the_shop_says_where_it_is() -> None:
    with pytest.raises(FetchError, match="no data set `ml`.*movielens-100k, movielens-1m"):
        fetch("ml", Path("nowhere"))
    with pytest.raises(FetchError, match=r"archive\.ics\.uci\.edu.*save its sheet as CSV"):
        fetch("online-retail", Path("nowhere"))


def test_the_published_checksums_are_the_ones_public_loaders_have() -> None:
    known = {name: download.md5 for name, download in room.DOWNLOADS.items()}
    assert known == {
        "movielens-100k": "0e33842e24a9c977be4e0107933c0723",
        "movielens-1m": "c4d9eecfca2ab87c1945afe126590906",
    }


def test_the_command_fetches_into_the_folder_given(tmp_path, shelf, capsys) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    into = tmp_path / "here"
    arguments = parser.parse_args(["fetch", NAME, "--into", str(into), "--base-url", shelf.url])
    assert arguments.func(arguments) == 0
    assert f"make run SOURCE={NAME} FROM={into}" in capsys.readouterr().out
    assert (into / "u.data").exists()


def test_without_a_folder_it_goes_to_the_raw_data(tmp_path, shelf, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["fetch", NAME, "--base-url", shelf.url])
    arguments.func(arguments)
    assert (tmp_path / "data" / "raw" / NAME / "u.data").exists()


@pytest.mark.parametrize(("name", "named"), [("movielens-1m", True), (NAME, False)])
def test_the_published_protocol_is_named_where_there_is_one(
    name: str, named: bool, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(room, "fetch", lambda name, into, base_url=None: into)
    room.run(argparse.Namespace(name=name, into=tmp_path, base_url=None))
    assert ("PROTOCOL=p1" in capsys.readouterr().out) is named
