"""Every flow is registered, retrain with its schedule."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from decant.params.release import Schedule
from flows.console import run_cli
from flows.serve import Service, deployments, main, serve
from flows.server import ServerError, free_port, lasting_server, try_port

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_flow_is_registered_and_retrain_has_its_schedule() -> None:
    made = {d.name: d for d in deployments(Schedule(cron="5 4 * * *", timezone="Europe/Berlin"))}
    assert set(made) == {"retrain", "rerun-stage", "tune", "promote"}
    schedule = made["retrain"].schedules[0].schedule
    assert (schedule.cron, schedule.timezone) == ("5 4 * * *", "Europe/Berlin")
    assert made["promote"].schedules == made["tune"].schedules == []
    assert made["retrain"].parameters == {"options": {"channel": "production", "promote": True}}


def test_a_free_port_is_free() -> None:
    try_port("127.0.0.1", free_port())


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(ServerError, match=f"^port {port}: address already in use; .* --port"),
            lasting_server("127.0.0.1", port),
        ):
            pass


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "8o", ""])
def test_a_port_that_is_none_is_one_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(lambda: main(["--with-server", f"--port={port}"])) == 2
    said = capsys.readouterr().err
    assert f"invalid port `{port}`: expected 1 to 65535" in said
    assert said.startswith("decant: error: argument --port: ")
    assert said.count("\n") == 1


def test_sigterm_ends_it_quietly_and_leaves_no_process(project: Any) -> None:
    own = {"PREFECT_API_URL", "PREFECT_HOME"}  # a server and a home of its own
    kept = {name: value for name, value in os.environ.items() if name not in own}
    command = subprocess.Popen(
        [sys.executable, "-m", "flows.serve", "--with-server", "--port", "0"],
        cwd=project.root,
        env={**kept, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    message = command.stdout.readline()
    assert message.startswith("Prefect UI: http://127.0.0.1:")
    wait_for_flows(message.split()[2])
    family = psutil.Process(command.pid).children(recursive=True)
    assert family
    command.send_signal(signal.SIGTERM)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 143
    assert not {"Traceback", "Warning", "ERROR"} & set(said.replace(":", " ").split()), said
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def wait_for_flows(address: str) -> None:
    for _ in range(240):
        if len(httpx.post(f"{address}/api/deployments/filter", json={}).json()) == 4:
            return
        time.sleep(0.25)
    raise AssertionError("the flows were not registered within a minute")


def lose_sigterm(service: Service) -> None:
    """SIGTERM whose exception is raised where Python drops it, such as in a destructor."""
    with pytest.raises(SystemExit):
        service.handle_sigterm()


def test_a_sigterm_that_was_lost_during_the_registration_ends_it_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered: list[Any] = []

    def register(service: Service, deployment: Any) -> None:
        registered.append(deployment)
        lose_sigterm(service)

    monkeypatch.setattr(Service, "add_deployment", register)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert serve(Schedule()) == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(registered) == 1


def test_a_sigterm_that_was_lost_before_the_start_ends_it_at_the_start() -> None:
    service = Service(limit=1)
    lose_sigterm(service)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(service.start())
