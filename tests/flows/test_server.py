"""A run reports to the server that is configured, and says so in one line if it is not there."""

from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.serve import main
from flows.server import (
    ServerFailed,
    configured_server,
    free_port,
    lasting_server,
    temporary_server,
)


def test_a_configured_server_that_is_dead_is_one_line() -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: address}):
        with (
            pytest.raises(ServerFailed, match=f"answers at {address}.*unset PREFECT_API_URL") as no,
            temporary_server(meanwhile=nullcontext()),
        ):
            pass
        assert "\n" not in str(no.value)


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://127.0.0.1:99999/api"])
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: address}),
        pytest.raises(ServerFailed, match="PREFECT_API_URL"),
    ):
        configured_server()


def test_a_configured_server_is_taken(prefect_server: None) -> None:
    address = PREFECT_API_URL.value()
    with temporary_server(meanwhile=nullcontext()) as found:
        assert found == configured_server() == address


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
        pytest.raises(ServerFailed, match="--with-server"),
    ):
        main([])
