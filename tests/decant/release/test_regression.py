"""A candidate is held against production only where the two can be compared."""

from typing import Any

import pytest

from decant.params.load import Params, parse_params
from decant.release.regression import Evidence, compare, protocol, why_incomparable


def evidence(release: str, value: Any, settings: dict[str, Any] | None = None) -> Evidence:
    verdict = {"family": {"validation": {"all": {"ndcg": value}}}}
    return Evidence(release, parse_params(settings or {}), verdict)


def test_the_first_release_has_nothing_to_be_compared_with() -> None:
    assert compare(evidence("a", 0.4), None, 0.02).passed


def test_a_release_is_not_compared_with_itself() -> None:
    assert compare(evidence("a", 0.4), evidence("a", 0.8), 0.02).passed


@pytest.mark.parametrize(("value", "passed"), [(0.5, True), (0.4, True), (0.393, True)])
def test_as_good_or_a_little_worse_passes(value: float, passed: bool) -> None:
    assert compare(evidence("b", value), evidence("a", 0.4), 0.02).passed is passed


def test_much_worse_does_not_pass_and_says_why() -> None:
    result = compare(evidence("b", 0.36), evidence("a", 0.4), 0.02)
    assert not result.passed
    assert result.drop == pytest.approx(0.1)
    assert result.production == "a"
    assert result.why == (
        "NDCG 0.3600 on validation is 10.0% below production's 0.4000, "
        "more than gate.max_production_drop (2.0%) allows"
    )
    assert result.document()["passed"] is False


@pytest.mark.parametrize("value", [None, "0.4", float("nan"), True, [0.4]])
def test_a_candidate_without_the_figure_does_not_pass(value: Any) -> None:
    result = compare(evidence("b", value), evidence("a", 0.4), 0.02)
    assert not result.passed
    assert "lacks" in result.why


def test_a_candidate_without_any_figures_does_not_pass() -> None:
    empty = Evidence("b", Params(), {})
    assert not compare(empty, evidence("a", 0.4), 0.02).passed


def test_production_without_the_figure_does_not_block() -> None:
    result = compare(evidence("b", 0.4), evidence("a", None), 0.02)
    assert result.passed
    assert "not comparable" in result.why


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"source": "movielens-1m"}, "source"),
        ({"split": {"method": "leave-one-out"}}, "split"),
        ({"evaluate": {"k": 5}}, "evaluate.k"),
        ({"features": {"exclude_seen": False}}, "features.exclude_seen"),
        ({"raw": {"items": 100}}, "raw"),
    ],
)
def test_another_protocol_is_named_and_does_not_block(settings: dict[str, Any], named: str) -> None:
    result = compare(evidence("b", 0.1, settings), evidence("a", 0.4), 0.02)
    assert result.passed
    assert result.why.startswith("not comparable with production: other ")
    assert named in result.why


def test_settings_of_another_version_do_not_block() -> None:
    old = Evidence("a", None, evidence("a", 0.4).verdict)
    result = compare(evidence("b", 0.1), old, 0.02)
    assert result.passed
    assert "another version" in result.why


def test_how_models_are_trained_is_no_part_of_the_protocol() -> None:
    other = parse_params({"seed": 1, "teacher": {"layers": 4}, "features": {"max_length": 20}})
    assert why_incomparable(other, Params()) is None


def test_settings_of_another_source_are_no_part_of_the_protocol() -> None:
    real = {"source": "movielens-1m"}
    assert protocol(parse_params(real)) == protocol(parse_params({**real, "raw": {"items": 99}}))
