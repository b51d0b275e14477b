"""A run reports to the server that is configured, and says so in one line if it is not there."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_API_URL,
    PREFECT_HOME,
    temporary_settings,
)

from decant.files import UnusableError
from flows import home as homes
from flows import server
from flows.serve import main
from flows.server import (
    Server,
    ServerError,
    configured_server,
    free_port,
    lasting_server,
    temporary_server,
    wait_until_healthy,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_configured_server_that_is_dead_is_one_line() -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: address}):
        with (
            pytest.raises(ServerError, match=f"answers at {address}.*unset PREFECT_API_URL") as no,
            temporary_server(meanwhile=nullcontext()),
        ):
            pass
        assert "\n" not in str(no.value)


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://127.0.0.1:99999/api"])
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: address}),
        pytest.raises(ServerError, match="PREFECT_API_URL"),
    ):
        configured_server()


def test_a_configured_server_is_taken(prefect_server: None) -> None:
    address = PREFECT_API_URL.value()
    with temporary_server(meanwhile=nullcontext()) as result:
        assert result == configured_server() == address


def test_a_home_that_is_not_there_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "new" / "home"
    monkeypatch.setenv("PREFECT_HOME", str(home))
    with (
        temporary_settings({PREFECT_HOME: home}),
        lasting_server("127.0.0.1", free_port()) as address,
    ):
        assert httpx.get(f"{address}/api/health").status_code == 200


def test_flows_are_registered_nowhere_without_a_server() -> None:
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ServerError, match="--with-server"),
    ):
        main([])


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a home of Prefect whose database is none; no server is configured."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "prefect.db").write_bytes(b"garbage" * 1000)
    monkeypatch.chdir(tmp_path)
    address = f"sqlite+aiosqlite:///{home}/prefect.db"
    changed = {
        PREFECT_HOME: home, PREFECT_API_URL: None, PREFECT_API_DATABASE_CONNECTION_URL: address,
    }  # fmt: skip
    monkeypatch.setenv("PREFECT_HOME", str(home))
    with temporary_settings(changed):
        yield home


def test_a_run_goes_on_with_a_spare_home_and_says_so(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_server(meanwhile=nullcontext()) as address:
        assert httpx.get(f"{address}/api/health").status_code == 200
        assert PREFECT_HOME.value() == damaged.parent / homes.SPARE
    said = capsys.readouterr().err
    assert said.startswith(f"decant: note: {damaged}/prefect.db cannot be used (file is not a data")
    assert said.endswith(f"this run uses {homes.SPARE} instead\n") and said.count("\n") == 1
    assert (damaged.parent / homes.SPARE / "prefect.db").is_file()
    assert (damaged / "prefect.db").read_bytes().startswith(b"garbage")


def test_a_lasting_server_says_what_to_move_away(damaged: Path) -> None:
    with (
        pytest.raises(UnusableError, match=rf"^{damaged}/prefect\.db .*: move it away"),
        lasting_server("127.0.0.1", free_port()),
    ):
        pass


def test_a_database_elsewhere_is_not_looked_at(damaged: Path) -> None:
    assert server.holds_database(damaged)
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: "postgresql+asyncpg://a/b"}):
        assert not server.holds_database(damaged)
        assert homes.usable(damaged.parent, damaged, database=False) == (damaged, None)


def test_a_server_that_ends_is_tried_again_with_the_spare_home(
    damaged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (damaged / "prefect.db").unlink()
    tried: list[Path] = []

    def start(home: Path) -> Server:
        tried.append(home)
        return Server(subprocess.Popen([sys.executable, "-c", ""]), "http://127.0.0.1:1", None)

    def wait(_: Server) -> None:
        if len(tried) == 1:
            raise ServerError("the Prefect server ended with status 3: no such module")

    monkeypatch.setattr(server, "start_temporary", start)
    monkeypatch.setattr(server, "wait_until_healthy", wait)
    with temporary_server(meanwhile=nullcontext()):
        pass
    assert tried == [damaged, damaged.parent / homes.SPARE]
    assert "no such module; this run uses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Traceback\nalembic.util.exc.CommandError: Can't locate\nERROR:    Failed\n",
            "alembic.util",
        ),
        ("nothing but this\n", "nothing but this"),
        ("", None),
        (None, None),
    ],
)
def test_the_last_words_of_a_server_are_told(
    tmp_path: Path, said: str | None, message: str | None
) -> None:
    log = tmp_path / "server.log"
    if said is None:
        log.mkdir()
    else:
        log.write_text(said)
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ended.wait()
    with pytest.raises(ServerError) as error:
        wait_until_healthy(Server(ended, "http://127.0.0.1:1", log))
    assert str(error.value).startswith("the Prefect server ended with status 3")
    assert (message or "status 3") in str(error.value) and "\n" not in str(error.value)


def start_flow(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-c", "import flows; from prefect import flow; print('imported')"],
        cwd=folder, env={**kept, "PYTHONPATH": str(REPOSITORY), **settings},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_prefect_does_without_profiles_and_logging_that_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_bytes(b"\0\xff[[")
    (tmp_path / "logging.yml").write_text("- a list")
    done = start_flow(tmp_path, PREFECT_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "imported\n")
    lines = done.stderr.splitlines()
    assert [line.split()[2] for line in lines] == [
        f"{tmp_path}/profiles.toml", f"{tmp_path}/logging.yml",
    ]  # fmt: skip
    assert all(line.endswith("Prefect ignores it; move it away") for line in lines)


def test_settings_that_prefect_refuses_end_in_a_line_that_says_where_they_are(
    tmp_path: Path,
) -> None:
    done = start_flow(tmp_path, PREFECT_HOME=str(tmp_path), PREFECT_SERVER_API_PORT="x")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr  # lines of Prefect itself come before
    last = done.stderr.splitlines()[-1]
    assert last.startswith("decant: error: Prefect cannot be imported (") and "PREFECT_…" in last


@pytest.mark.parametrize(
    "text", ["profiles = 3", "[profiles]\na = 3", "active = ['a']", "[profiles.a]\nb = [1]"]
)
def test_profiles_of_another_shape_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "profiles.toml").write_text(text)
    with pytest.raises(ValueError, match="not a profiles file|several values"):
        homes.read_profiles(tmp_path / "profiles.toml")
