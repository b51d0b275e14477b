"""The registry's commands: what they print and what they end with."""

import argparse
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from decant.commands.releases import UnknownChannelError, add_commands, age
from decant.params.load import ParamsError
from decant.release.records import NothingToRollBackError, UnknownReleaseError
from decant.release.registry import Registry
from decant.release.store import LocalStore, StoreError

EXTRA = {"dvc.lock": b"stages: {}\n", "params.yaml": b"{}\n", "provenance.json": b"{}\n"}

MakeCandidate = Callable[..., Path]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project's folder with default settings and an empty registry."""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "params.yaml").write_text("seed: 3\n")
    return root


@pytest.fixture
def registry(shop: Path) -> Registry:
    """The registry of that project."""
    return Registry(LocalStore(shop / "registry"))


@pytest.fixture
def decant(shop: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run one command there; returns what it printed."""

    def run(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        add_commands(parser.add_subparsers())
        parsed = parser.parse_args([arguments[0], "--root", str(shop), *arguments[1:]])
        assert parsed.func(parsed) == 0
        return capsys.readouterr().out

    return run


Decant = Callable[..., str]


def test_releases_are_listed_with_their_channels(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    assert "no releases yet" in decant("releases")
    assert json.loads(decant("releases", "--json")) == []
    good = registry.publish(make_candidate(), EXTRA)
    bad = registry.publish(make_candidate(model="b", passed=False), EXTRA, failed_too=True)
    registry.promote(good)
    lines = {line.split()[0]: line for line in decant("releases").splitlines()}
    assert lines[good].endswith("passed  demo: general, women  <- production")
    assert "failed" in lines[bad]
    rows = {row["id"]: row for row in json.loads(decant("releases", "--json"))}
    assert rows[good]["channels"] == ["production"]
    assert rows[good]["bytes"] > 0
    assert rows[bad]["passed"] is False


def test_promote_and_rollback_say_what_moved(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    a, b, c = (registry.publish(make_candidate(model=name), EXTRA) for name in "abc")
    assert decant("promote", a) == f"production: nothing -> {a}\n"
    assert decant("promote", b, "--reason", "better") == f"production: {a} -> {b}\n"
    assert decant("promote", b).startswith(f"production already points at {b}, since 2")
    decant("promote", c)
    assert decant("rollback", "--to", a, "--reason", "bad") == f"production: {c} -> {a}\n"
    assert [change.reason for change in registry.history()] == ["", "better", "", "bad"]
    assert decant("promote", c, "--channel", "canary") == f"canary: nothing -> {c}\n"


def test_a_wrong_id_and_an_empty_channel_are_the_users_errors(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    with pytest.raises(NothingToRollBackError):
        decant("rollback")
    registry.publish(make_candidate(), EXTRA)
    for command in ("promote", "trace"):
        with pytest.raises(UnknownReleaseError, match="no release `zzzz`: known: "):
            decant(command, "zzzz")


def test_a_misspelt_channel_is_refused_and_none_is_made(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    for command in (["promote", release], ["rollback"], ["status"]):
        with pytest.raises(UnknownChannelError, match="no channel `Prodution`; did you mean `prod"):
            decant(*command, "--channel", "Prodution")
        with pytest.raises(UnknownChannelError, match="channels: production, canary"):
            decant(*command, "--channel", "zzz")
    assert registry.channels() == []


def test_a_channel_that_is_asked_for_is_made(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    said = decant("promote", release, "--channel", "staging", "--new-channel")
    assert said == f"staging: nothing -> {release}\n"
    assert decant("promote", release, "--channel", "staging").startswith(
        "staging already points at"
    )
    assert release in decant("status", "--channel", "staging")


def test_a_rollback_to_no_earlier_release_lists_those_there_are(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    a, b, c = (registry.publish(make_candidate(model=name), EXTRA) for name in "abc")
    for release in (a, b, c):
        registry.promote(release)
    with pytest.raises(NothingToRollBackError, match=f"`nope` matches no release.*: {b}, {a}$"):
        decant("rollback", "--to", "nope")


def test_trace_prints_one_document(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    assert json.loads(decant("trace", release[:8], "--json"))["release"] == release
    assert decant("trace", release).startswith(f"release    {release}")


def test_status_before_anything_was_made(decant: Decant) -> None:
    assert "production  nothing promoted yet" in decant("status")
    result = json.loads(decant("status", "--json"))
    assert (result["release"], result["releases"]) == (None, 0)
    assert "`make run` creates one" in result["workspace"]["problem"]


def test_status_tells_what_is_served_and_what_waits(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate, shop: Path
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    registry.promote(release, actor="ann", reason="first")
    waiting = make_candidate(model="new")
    shutil.copytree(waiting, shop / "data" / "candidate")
    result: dict[str, Any] = json.loads(decant("status", "--json"))
    assert result["release"] == release
    assert result["students"] == ["general", "women"]
    assert result["folded"] == ["men", "tiny"]
    assert (result["passed"], result["by"], result["reason"]) == (True, "ann", "first")
    assert 0 <= result["age_s"] < 600
    candidate = json.loads((waiting / "candidate.json").read_text())["id"]
    assert result["workspace"] == {"candidate": candidate, "passed": True, "published": False}
    text = decant("status")
    assert f"production  {release}  for less than a minute, promoted by ann" in text
    assert f"candidate {candidate}, passed the gate, not published" in text


@pytest.mark.parametrize("harm", ["gone", "manifest cut", "manifest is a folder"])
def test_status_shows_what_is_known_of_a_damaged_release(
    shop: Path,
    decant: Decant,
    registry: Registry,
    make_candidate: MakeCandidate,
    capsys: pytest.CaptureFixture[str],
    harm: str,
) -> None:
    a, b = (registry.publish(make_candidate(model=name), EXTRA) for name in "ab")
    registry.promote(a, actor="ann")
    registry.promote(b, actor="ann")
    manifest = shop / "registry" / "releases" / b / "manifest.json"
    if harm == "gone":
        shutil.rmtree(manifest.parent)
    elif harm == "manifest cut":
        manifest.write_text("{")
    else:
        manifest.unlink()
        manifest.mkdir()
    result = json.loads(decant("status", "--json"))
    assert (result["release"], result["damaged"], result["previous"]) == (b, True, a)
    assert "students" not in result
    [problem] = result["problems"]
    assert b in problem
    decant("status")
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    parsed = parser.parse_args(["status", "--root", str(shop)])
    assert parsed.func(parsed) == 0
    said = capsys.readouterr()
    assert said.err == f"decant: warning: {problem}\n"
    assert said.out.startswith(f"production  {b}  for less than a minute, promoted by ann, damaged")
    assert decant("rollback") == f"production: {b} -> {a}\n"


def test_releases_tell_of_a_channel_whose_release_they_cannot_show(
    shop: Path,
    decant: Decant,
    registry: Registry,
    make_candidate: MakeCandidate,
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    registry.promote(release)
    manifest = shop / "registry" / "releases" / release / "manifest.json"
    manifest.unlink()
    manifest.mkdir()
    assert "no releases yet" in decant("releases")
    assert f"the manifest of production's {release} is damaged" in caplog.text


def test_a_candidate_that_is_no_json_keeps_nobody_from_the_status(
    shop: Path, decant: Decant
) -> None:
    (shop / "data" / "candidate").mkdir(parents=True)
    (shop / "data" / "candidate" / "candidate.json").write_text("{")
    assert "candidate.json is not valid JSON" in decant("status")


def test_status_of_another_channel(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    release = registry.publish(make_candidate(), EXTRA)
    registry.promote(release, "canary")
    assert release in decant("status", "--channel", "canary")
    assert "nothing promoted" in decant("status")


def test_status_tells_a_rollback_from_a_promotion(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    a, b = (registry.publish(make_candidate(model=name), EXTRA) for name in "ab")
    registry.promote(a, actor="ann")
    registry.promote(b, actor="ann")
    registry.rollback(actor="bob")
    assert f"{a}  for less than a minute, rolled back by bob" in decant("status")
    assert json.loads(decant("status", "--json"))["action"] == "rollback"


def test_an_old_release_shows_its_age(
    decant: Decant, registry: Registry, make_candidate: MakeCandidate
) -> None:
    registry.promote(registry.publish(make_candidate(), EXTRA))
    registry.now = lambda: datetime(2020, 1, 1, tzinfo=UTC)
    registry.promote(registry.publish(make_candidate(model="b"), EXTRA))
    assert " days, promoted by " in decant("status")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "less than a minute"), (60, "1 minute"), (7300, "2 hours"), (90_000, "1 day")],
)
def test_an_age_is_printed_in_its_largest_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_wrong_settings_are_the_users_error(decant: Decant, shop: Path) -> None:
    (shop / "params.yaml").write_text("registri: {}\n")
    with pytest.raises(ParamsError, match="did you mean `registry`"):
        decant("status")


def test_a_bucket_is_read_by_the_same_commands(
    decant: Decant, shop: Path, s3_endpoint: str
) -> None:
    settings = f"registry: {{kind: s3, bucket: BUCKET, prefix: c, endpoint: '{s3_endpoint}'}}\n"
    (shop / "params.yaml").write_text(settings.replace("BUCKET", "releases"))
    assert "no releases yet" in decant("releases")
    (shop / "params.yaml").write_text(settings.replace("BUCKET", "no-such-bucket"))
    with pytest.raises(StoreError, match="no bucket `no-such-bucket`"):
        decant("releases")
