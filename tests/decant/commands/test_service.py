"""`decant recommend` and `decant serve` as a person calls them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from decant.cli import main
from decant.commands.service import OptionError, PortError, known_values, listen, request_body
from decant.features.encode import Attribute

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "decant"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def decant(
    root: Path, *arguments: str, given: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=root,
        env={**environment(), **settings},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def served(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`decant serve` in a process of its own, and its address."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *arguments],
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background makes them, and this, ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().split("/docs")[0]
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_the_command_answers_like_the_service(shop: Any) -> None:
    shop.promote(1)
    user = {"age": 28, "gender": "F", "hobby": "tea"}
    history = ["item-03", "gone", "item-05"]
    answered = decant(
        shop.root, "recommend", "--user", json.dumps(user), "--history", ",".join(history),
        "-k", "4", "--json",
    )  # fmt: skip
    with served(shop.root) as (process, address):
        body = {"user": user, "history": history, "k": 4}
        response = httpx.post(f"{address}/recommend", json=body, timeout=20)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert answered.returncode == 0
    assert answered.stdout == response.text + "\n"
    assert answered.stderr.splitlines() == [
        "decant: note: ignored, the release does not know these items: gone",
        "decant: note: ignored, the release does not know these attributes: hobby",
    ]


def test_people_get_a_table(shop: Any) -> None:
    release = shop.promote(1)
    answered = decant(shop.root, "recommend", "--history", "item-03", "-k", "3")
    lines = answered.stdout.splitlines()
    assert lines[0].split() == ["item", "score"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert lines[4] == f"student general · segment general · release {release}"
    assert answered.stderr == ""


def test_a_value_that_the_release_does_not_know_is_noted(shop: Any) -> None:
    shop.promote(1)
    answered = decant(shop.root, "recommend", "--user", '{"gender": "female", "age": "old"}')
    assert answered.returncode == 0
    note = "decant: note: treated as missing, the release does not know this value of"
    assert answered.stderr.splitlines() == [
        f"{note} gender; it knows F, M",
        f"{note} age; it knows numbers",
    ]


def test_the_first_values_of_many_are_named() -> None:
    many = Attribute(values=tuple(f"v{n}" for n in range(12)))
    assert known_values(many).endswith("v8, v9 and 2 more")


def test_a_terminal_of_ascii_gets_an_answer_too(shop: Any) -> None:
    shop.promote(1)
    asked = ("recommend", "--user", '{"größe": 4}', "-k", "1")
    for_people = decant(shop.root, *asked, PYTHONIOENCODING="ascii")
    assert for_people.returncode == 0, for_people.stderr
    assert "student general ? segment general" in for_people.stdout
    for_programs = decant(shop.root, *asked, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(for_programs.stdout)["unknown_attributes"] == ["größe"]


def test_events_come_from_a_file_or_stdin(shop: Any) -> None:
    shop.promote(1)
    events = json.dumps([{"item": "item-03", "behaviour": "cart", "time": "2026-01-01"}, "item-05"])
    (shop.root / "events.json").write_text(events)
    one = decant(shop.root, "recommend", "--events", "events.json", "--json")
    other = decant(shop.root, "recommend", "--events", "-", "--json", given=events)
    assert one.returncode == 0, one.stderr
    assert one.stdout == other.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--user", "{"], "--user: not valid JSON"),
        (["--user", "3"], "user: expected object, got int"),
        (["-k", "0"], "k is 0; it must be from 1 to 12"),
        (["-k", "many"], "invalid int value: 'many'"),
        (["--user", '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"], "--user: not valid JSON"),
        (["--events", "no.json"], "no.json: No such file or directory"),
        (["--events", "params.yaml"], "--events params.yaml: not valid JSON"),
        (["--events", "a", "--history", "b"], "not allowed with argument"),
        (["--channel", "canary"], "no release was promoted to canary yet"),
        (["--channel", "Canary"], "invalid channel name `Canary`"),
        (["--root", "nowhere"], "nowhere/params.yaml"),
    ],
    ids=range(11),
)
def test_a_mistake_is_one_line(
    shop: Any,
    arguments: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.promote(1)
    monkeypatch.chdir(shop.root)
    assert main(["recommend", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("decant: error: ")
    assert captured.err.count("\n") == 1
    assert problem in captured.err


def test_a_port_in_use_is_one_line(shop: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answered = decant(shop.root, "serve", "--port", str(port))
    assert answered.returncode == 2
    assert answered.stderr == (
        f"decant: error: cannot listen on 127.0.0.1 port {port}: address already in use; choose "
        "another with --host and --port\n"
    )


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70000),
                                            ("192.0.2.1", 0)])  # fmt: skip
def test_an_address_that_cannot_be_had_is_explained(host: str, port: int) -> None:
    with pytest.raises(PortError, match=f"cannot listen on {host} port {port}: "):
        listen(host, port)


@pytest.mark.parametrize("port", ["abc", "99999", "-1"])
def test_an_invalid_port_is_one_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"--port={port}"]) == 2
    said = capsys.readouterr().err
    assert f"invalid port `{port}`: expected 1 to 65535" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("poll", ["0", "-1", "nan"])
def test_a_poll_of_no_time_is_refused(
    shop: Any, poll: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--root", str(shop.root), f"--poll={poll}"]) == 2
    assert "expected seconds above 0" in capsys.readouterr().err


def test_the_service_starts_without_a_release_and_ends_on_a_signal(shop: Any) -> None:
    with served(shop.root, "--poll", "0.05") as (process, address):
        assert httpx.get(f"{address}/healthz", timeout=20).status_code == 503
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert process.stderr
        assert "no release was promoted to production yet" in process.stderr.read()


def test_the_options_become_the_body_of_a_request() -> None:
    body = json.loads(request_body('{"age": 28}', " a, b ,,7", None, 3))
    assert body == {"user": {"age": 28}, "history": ["a", "b", "7"], "k": 3}
    assert json.loads(request_body("{}", None, None, 3)) == {"user": {}, "k": 3}
    for now, sent in (("1772000000", 1_772_000_000.0), ("2026-03-01", "2026-03-01")):
        assert json.loads(request_body("{}", None, None, 3, now))["now"] == sent
    with pytest.raises(OptionError, match="--user"):
        request_body("[" * 100_000, None, None, 3)
