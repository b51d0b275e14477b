"""Promoting: the channel points at the release, and the outcome says what it was before."""

from collections.abc import Callable
from pathlib import Path

import pytest

import tasks.promote
from decant.params.load import Params, load_params
from decant.release.records import UnknownReleaseError
from decant.release.registry import open_registry
from tasks.candidate import run
from tasks.promote import describe, promote, promote_task, rolled_back
from tasks.publish import publish
from tasks.runner.step import Workspace, run_step

MakeWorkspace = Callable[..., Path]
Release = Callable[..., tuple[Path, Params, str]]


@pytest.fixture
def release(make_workspace: MakeWorkspace) -> Release:
    """Publish what a workspace holds; returns its folder, settings and the release's id."""

    def make(**settings: str) -> tuple[Path, Params, str]:
        root = make_workspace(**settings)
        params = load_params(root / "params.yaml")
        run_step(run, Workspace(root, params))
        return root, params, publish(root, params).release

    return make


def test_the_channel_points_at_the_release(release: Release) -> None:
    root, params, first = release()
    result = promote(root, params, first[:8], reason="nightly", actor="ann")
    assert (result.release, result.moved, result.before, result.number) == (first, True, None, 1)
    change = open_registry(params.registry, root).channel()
    assert change is not None
    assert (change.release, change.by, change.reason) == (first, "ann", "nightly")
    assert "nothing -> " in describe(result)
    _, _, second = release(model="new")
    result = promote(root, params, second)
    assert result.before == first
    assert describe(result) == f"**production**: `{first}` -> `{second}` (change 2)"


def test_a_second_promotion_of_the_same_moves_nothing(release: Release) -> None:
    root, params, first = release()
    promote(root, params, first)
    again = promote(root, params, first)
    assert not again.moved
    assert "already" in describe(again)
    assert len(open_registry(params.registry, root).history()) == 1


def test_a_release_that_was_rolled_back_is_not_promoted_by_itself(release: Release) -> None:
    root, params, first = release()
    promote(root, params, first)
    _, _, second = release(model="new")
    promote(root, params, second)
    assert rolled_back(root, params, second, "production") is None
    registry = open_registry(params.registry, root)
    registry.rollback(reason="complaints", actor="ann")
    message = rolled_back(root, params, second, "production")
    assert message is not None
    assert message.startswith("not promoted: ann rolled production back from it on ")
    assert "complaints" in message and f"`decant promote {second}`" in message


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", None])
def test_a_damaged_or_missing_pointer_is_written_anew(
    release: Release, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    root, params, first = release()
    promote(root, params, first)
    _, _, second = release(model="new")
    pointer = root / params.registry.folder / "channels" / "production.json"
    pointer.unlink() if content is None else pointer.write_bytes(content)
    assert rolled_back(root, params, second, "production") is None
    result = promote(root, params, second)
    assert (result.moved, result.before, result.number) == (True, first, 2)
    assert "it was repaired" in caplog.text
    assert open_registry(params.registry, root).rollback().release == first


def test_promoting_the_same_beside_a_damaged_pointer_is_a_move(release: Release) -> None:
    root, params, first = release()
    promote(root, params, first)
    (root / params.registry.folder / "channels" / "production.json").write_text("")
    result = promote(root, params, first)
    assert (result.moved, result.before, result.number) == (True, first, 2)


def test_a_rollback_that_may_stand_in_a_damaged_entry_is_not_undone(release: Release) -> None:
    root, params, first = release()
    promote(root, params, first)
    _, _, second = release(model="new")
    promote(root, params, second)
    registry = open_registry(params.registry, root)
    registry.rollback(reason="complaints")  # change 3, which the pointer is as well
    _, _, third = release(model="newer")
    promote(root, params, third)
    (root / params.registry.folder / "history" / "production" / "00000003.json").write_text("{")
    message = rolled_back(root, params, second, "production")
    assert message is not None and "1 change(s) of production since it was published" in message
    assert "00000003.json" in message and f"`decant promote {second}`" in message
    _, _, fourth = release(model="newest")  # published after all of them
    assert rolled_back(root, params, fourth, "production") is None


def test_another_channel_can_be_named(release: Release) -> None:
    root, params, first = release()
    promote(root, params, first, "canary")
    assert open_registry(params.registry, root).channels() == ["canary"]


def test_an_unknown_release_is_refused(release: Release) -> None:
    root, params, _ = release()
    with pytest.raises(UnknownReleaseError, match="no release `zzzz`: known: "):
        promote(root, params, "zzzz")


def test_the_task_shows_what_moved(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(
        tasks.promote, "create_markdown_artifact", lambda **given: shown.append(given)
    )
    result = promote_task.fn(*release())
    assert [given["markdown"] for given in shown] == [describe(result)]
    assert promote_task.persist_result is False
