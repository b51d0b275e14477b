"""What the retrain flow promotes, and what it leaves to a person; its stages are left out."""

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from prefect import Task

from decant.params.load import parse_params
from decant.release.regression import Comparison
from flows.retrain import Channel, NotReleasableError, Options, Outcome, PersonNeededError
from tasks.publish import PublishResult

retrain = importlib.import_module("flows.retrain")
FINE = Comparison(True, "NDCG is above production's")


def published(comparison: Comparison = FINE, **changes: Any) -> PublishResult:
    settings: dict[str, Any] = {
        "release": "ab12", "published": True, "new": True, "reasons": (), "students": ("general",),
        "folded": (), "comparison": comparison, **changes,
    }  # fmt: skip
    return PublishResult(**settings)


@dataclass
class Flow:
    """The flow with a publication of the test's choice; `promoted`: what it promoted, and where."""

    patch: Callable[[str, Any], None]
    promoted: list[tuple[str, str]] = field(default_factory=list)

    def run(self, result: PublishResult, rolled_back: str | None = None, **options: Any) -> Outcome:
        def promote(root: Any, params: Any, release: str, channel: str, reason: str) -> None:
            self.promoted.append((release, channel))

        self.patch("publish_task", lambda *_: result)
        self.patch("rolled_back", lambda *_: rolled_back)
        self.patch("promote_task", promote)
        outcome: Outcome = retrain.retrain.fn(Options(**options))
        return outcome


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The flow without its stages."""
    for name, value in vars(retrain).items():
        if isinstance(value, Task):
            monkeypatch.setattr(retrain, name, lambda *_, **__: None)
    monkeypatch.setattr(retrain, "each", lambda *_: [])
    monkeypatch.setattr(retrain, "workspace", lambda *_, **__: nullcontext())
    monkeypatch.setattr(retrain, "load_params", lambda _: parse_params({}))
    monkeypatch.setattr(retrain, "registry_trouble", lambda *_: None)
    return Flow(lambda name, value: monkeypatch.setattr(retrain, name, value))


def test_a_release_that_passes_is_promoted_to_the_channel_that_was_asked_for(flow: Flow) -> None:
    assert flow.run(published()) == Outcome("ab12", "production")
    assert flow.run(published(), channel=Channel.canary) == Outcome("ab12", "canary")
    assert flow.promoted == [("ab12", "production"), ("ab12", "canary")]


def test_a_release_that_the_gate_or_production_speaks_against_is_an_error(flow: Flow) -> None:
    with pytest.raises(NotReleasableError, match="ab12 is not released: retention is missing"):
        flow.run(published(published=False, reasons=("retention is missing",)))
    with pytest.raises(NotReleasableError, match="2 % below production"):
        flow.run(published(reasons=("2 % below production",)))
    assert flow.promoted == []


def test_many_reasons_are_counted(flow: Flow) -> None:
    with pytest.raises(NotReleasableError, match="released: a; b; c; 2 more; all checks are in "):
        flow.run(published(reasons=("a", "b", "c", "d", "e")))


def test_what_could_not_be_compared_waits_for_a_person(flow: Flow) -> None:
    unknown = Comparison(True, "production is damaged", by_hand=True)
    with pytest.raises(PersonNeededError, match="not promoted: production is damaged"):
        flow.run(published(unknown))
    assert flow.promoted == []


def test_a_sure_loss_on_the_test_window_waits_for_a_person(flow: Flow) -> None:
    with pytest.raises(PersonNeededError, match="not promoted: women: its student loses"):
        flow.run(published(held=("women: its student loses .1",)))
    assert flow.promoted == []


def test_what_a_person_has_rolled_back_is_not_promoted_again(flow: Flow) -> None:
    outcome = flow.run(published(), rolled_back="ann rolled production back from it")
    assert outcome == Outcome("ab12", None, "ann rolled production back from it")
    assert flow.promoted == []


def test_without_being_asked_to_nothing_is_promoted(flow: Flow) -> None:
    assert flow.run(published(), promote=False) == Outcome("ab12", None)
    assert flow.promoted == []
