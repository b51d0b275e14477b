"""What would not end, or take all memory, does so in another process, which ends in any case."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from decant.release.folder import ReleaseFolder
from decant.release.records import DamagedReleaseError, Release
from decant.runtime import engine, loading
from decant.serving import preload
from decant.serving import preload_child as attempts
from decant.serving.preload import NotLoadedError, Preload, environment
from decant.serving.preload_child import attempt, in_random_order

REPOSITORY = Path(__file__).resolve().parents[3]
LONG = 300.0  # seconds; no test waits for them


def where(shop: Any, release: str) -> tuple[Release, ReleaseFolder]:
    manifest = shop.registry.release(release)
    return manifest, ReleaseFolder(shop.root / "registry/releases" / release, manifest.listing())


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives when it holds."""
    for _ in range(600):
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("waited 30 seconds in vain")


def tries(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Processes that try a release for this one."""
    return [
        child
        for child in (process or psutil.Process()).children()
        if child.status() != psutil.STATUS_ZOMBIE and preload.PROGRAM in child.cmdline()
    ]


def in_background(bounds: Preload, shop: Any, release: str) -> tuple[threading.Thread, list[str]]:
    """Try a release in a thread; what is wrong with it comes into the list."""
    problems: list[str] = []

    def run() -> None:
        try:
            bounds.check(*where(shop, release))
        except NotLoadedError as error:
            problems.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, problems


def test_what_is_whole_passes(shop: Any) -> None:
    Preload(60, 1024).check(*where(shop, shop.publish(1)))
    assert tries() == []


def test_what_does_not_end_is_given_up(shop: Any) -> None:
    release = shop.promote_endless(1)
    with pytest.raises(
        NotLoadedError, match=rf"release {release} was not loaded .* within 3 s \(s"
    ):
        Preload(3, 1024).check(*where(shop, release))
    assert tries() == []


def test_what_takes_too_much_memory_is_given_up(shop: Any) -> None:
    release = shop.promote_huge(1)
    with pytest.raises(NotLoadedError, match=rf"{release} needs more than 700 MB .*load_memory_mb"):
        Preload(60, 700).check(*where(shop, release))


def test_what_is_damaged_is_named(shop: Any) -> None:
    release, folder = where(shop, shop.publish(1))
    (folder.folder / "encoder.json").write_bytes(b"{}")
    with pytest.raises(DamagedReleaseError, match=r"encoder\.json was changed: it has 2 bytes"):
        Preload(60, 1024).check(release, folder)


def test_a_process_that_dies_is_a_refusal(shop: Any) -> None:
    thread, problems = in_background(Preload(LONG, 1024), shop, shop.promote_endless(1))
    until(tries)[0].send_signal(signal.SIGSEGV)
    thread.join(20)
    assert "the process that loaded it ended by SIGSEGV" in problems[0]


def test_the_end_of_the_service_does_not_wait(shop: Any) -> None:
    bounds = Preload(LONG, 1024)
    release = shop.promote_endless(1)
    thread, problems = in_background(bounds, shop, release)
    until(tries)
    bounds.end()
    thread.join(20)
    assert not thread.is_alive() and len(problems) == 1
    with pytest.raises(NotLoadedError, match="the service is shutting down"):
        bounds.check(*where(shop, release))


def test_another_process_holds_no_port_of_the_service(shop: Any) -> None:
    bounds = Preload(LONG, 1024)
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        port = waiting.getsockname()[1]
        thread, _ = in_background(bounds, shop, shop.promote_endless(1))
        until(tries)
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        assert tries()
    bounds.end()
    thread.join(20)


def test_a_service_that_is_killed_leaves_nothing_behind(shop: Any) -> None:
    shop.promote_endless(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "decant", "serve", "--port", "0"],
        cwd=shop.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        [child] = until(lambda: tries(psutil.Process(process.pid)))
    finally:
        process.kill()
        process.wait(20)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_it_finds_this_package_wherever_it_is_started(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = where(shop, shop.publish(1))
    for name in ("decant", "numpy"):
        (shop.root / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(shop.root)
    Preload(60, 1024).check(*release)
    assert environment({"PYTHONPATH": "/more"})["PYTHONPATH"] == f"{REPOSITORY}{os.pathsep}/more"


def test_what_other_processes_say_is_no_answer(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "PROGRAM", "decant.serving.nothing")
    with pytest.raises(NotLoadedError, match="ended with status 1: .*No module named"):
        Preload(60, 1024).check(*where(shop, shop.publish(1)))


# what is tried


def job(shop: Any, release: str) -> dict[str, Any]:
    manifest, folder = where(shop, release)
    limits = {"seconds": LONG, "copied": False}
    return {"folder": str(folder.folder), "manifest": manifest.model_dump(), **limits}


def test_an_answer_that_takes_long_is_a_refusal(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = shop.publish(1)
    assert attempt(job(shop, release)) == {"done": True}
    monkeypatch.setattr(loading, "SLOWEST", 0.0)
    assert "student general takes 0.0 s for one answer" in attempt(job(shop, release))["refused"]


def test_a_score_that_is_no_number_is_a_refusal(shop: Any) -> None:
    def nan(tables: Any) -> bytes:
        tables.last[-1, -1] = float("nan")
        return bytes(shop.graph(tables))

    said = attempt(job(shop, shop.publish(1, nan)))
    assert said == {"refused": "student general returns scores that are not finite"}


@pytest.mark.parametrize(("share", "tried"), [(0.25, {1, 2, 3}), (-1.0, set())])
def test_histories_of_every_length_are_tried_while_there_is_time(
    shop: Any, monkeypatch: pytest.MonkeyPatch, share: float, tried: set[int]
) -> None:
    release, seen = shop.publish(1), set[int]()
    monkeypatch.setattr(engine.Family, "warm_up", lambda family: None)
    monkeypatch.setattr(engine.Family, "try_length", lambda family, length: seen.add(length))
    monkeypatch.setattr(attempts, "FOR_LENGTHS", share)
    assert attempt(job(shop, release)) == {"done": True}
    assert seen == tried


def test_nobody_knows_in_which_order() -> None:
    first, second = in_random_order(2000), in_random_order(2000)
    assert sorted(first) == sorted(second) == [*range(1, 2000)]
    assert first != second
    assert in_random_order(1) == []
