"""Every flow is registered, retrain with its schedule."""

import socket

import pytest

from decant.params import Schedule
from flows.console import guarded
from flows.serve import deployments, main
from flows.server import ServerFailed, free_port, lasting_server, try_port


def test_every_flow_is_registered_and_retrain_has_its_schedule() -> None:
    made = {d.name: d for d in deployments(Schedule(cron="5 4 * * *", timezone="Europe/Berlin"))}
    assert set(made) == {"retrain", "rerun-stage", "promote"}
    schedule = made["retrain"].schedules[0].schedule
    assert (schedule.cron, schedule.timezone) == ("5 4 * * *", "Europe/Berlin")
    assert made["promote"].schedules == []
    assert made["retrain"].parameters == {"options": {"channel": "production", "promote": True}}


def test_a_free_port_is_free() -> None:
    try_port("127.0.0.1", free_port())


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(ServerFailed, match=f"^port {port}: address already in use; choose"),
            lasting_server("127.0.0.1", port),
        ):
            pass


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "8o", ""])
def test_a_port_that_is_none_is_one_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: main(["--with-server", f"--port={port}"])) == 2
    said = capsys.readouterr().err
    assert f"`{port}` is no port, a number from 1 to 65535" in said
    assert said.startswith("decant: error: argument --port: ")
    assert said.count("\n") == 1
