"""What a student of its own gives each segment, and the student that serves it."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from decant.report.page import page
from decant.report.segments import (
    SegmentRow,
    gains_picture,
    segment_rows,
    serves_its_group,
    status,
    variant_rows,
)

GAIN = {"value": 0.02, "low": 0.01, "high": 0.03, "n": 9}
LOSS = {"value": -0.02, "low": -0.03, "high": -0.01, "n": 9}
ROW = SegmentRow("women", 1, "x", 30, 14, GAIN, 0.01, 0.005, LOSS, 1.05, True, False, "better")


def texts(picture: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(picture).iter("text")]


def test_rows_hold_the_gates_figures_in_the_order_of_the_settings(run: Any) -> None:
    evidence = run.evidence()
    women, men = segment_rows(evidence)
    judged = run.verdict["segments"]["women"]
    assert (women.name, men.name) == ("women", "men")
    assert women.validation is not None and women.test is not None
    assert women.validation["value"] == pytest.approx(judged["gain"])
    assert women.lower_bound == judged["lower_bound"]
    assert women.test["value"] == pytest.approx(judged["test"]["gain"])
    assert women.relative is not None and women.relative > 1
    assert (women.accepted, men.accepted) == (True, False)
    assert men.reason == "not better than general on validation"


def test_a_segment_without_cases_has_no_gain_and_is_served_by_general(run: Any) -> None:
    nobody = (run.cases["window"] == "validation") & run.cases["user"].isin(range(30, 60))
    run.verdict["segments"]["men"] |= {
        "reason": "no validation cases to decide on", "gain": None, "lower_bound": None,
    }  # fmt: skip
    men = segment_rows(run.change(cases=run.cases[~nobody]).evidence())[1]
    assert (men.validation, men.lower_bound) == (None, None)
    assert not men.accepted and men.reason == "no validation cases to decide on"


def test_a_merged_segment_is_called_merged_whatever_the_gate_calls_it(merged: Any) -> None:
    men = segment_rows(merged.evidence())[1]
    assert men.merged and not men.accepted and men.relative is None
    assert men.reason == "too few users: merged into general"


def test_the_status_of_a_student_says_who_serves_its_group(run: Any, merged: Any) -> None:
    evidence = run.evidence()
    assert status(evidence, "general") == "always released"
    assert status(evidence, "women") == "accepted"
    unjudged = replace(evidence, verdict={"segments": {}})
    assert status(unjudged, "women") == "not judged"
    assert status(merged.evidence(), "men") == "merged into general, too few users"


def test_general_serves_its_own_users_even_without_a_verdict() -> None:
    assert serves_its_group({}, "general")
    assert not serves_its_group({}, "women")


def test_the_picture_names_each_segment_with_its_status_and_both_windows() -> None:
    rows = [
        ROW,
        replace(ROW, name="men", accepted=False, validation=LOSS, test=None),
        replace(ROW, name="few", accepted=False, merged=True, validation=None, test=None),
    ]
    picture = gains_picture(rows)
    words = texts(picture)
    for word in ("women", "men", "few", "accepted", "general serves", "merged into general"):
        assert words.count(word) == 1, word
    assert {"−margin", "validation (decides)", "test"} <= set(words)
    tips = [tip.text for tip in ElementTree.fromstring(picture).iter("title")][1:]
    assert tips == [
        "women, validation: +0.0200 (+0.0100 to +0.0300)",
        "women, test: −0.0200 (−0.0300 to −0.0100)",
        "men, validation: −0.0200 (−0.0300 to −0.0100)",
    ]


def test_a_picture_without_any_gain_can_be_drawn() -> None:
    empty = replace(ROW, validation=None, test=None, accepted=False)
    assert "general serves" in texts(gains_picture([empty]))


def test_variants_stand_beside_the_student_that_serves(run: Any) -> None:
    judged = {
        "of": "women", "ships": False, "reason": "not better than general on validation",
        "gain": -0.01, "lower_bound": -0.02, "users": 9, "test": {"gain": 0.003},
    }  # fmt: skip
    assert "Variants: trained and evaluated" not in page(run.evidence())
    run.verdict["variants"] = {"narrow": judged, "wide": {**judged, "ships": True}}
    rows = variant_rows(run.evidence())
    assert [(row.name, row.serving, row.gain, row.test) for row in rows] == [
        ("narrow", "women", -0.01, 0.003),
        ("wide", "women", -0.01, 0.003),
    ]
    assert [row.reason for row in rows] == [judged["reason"], "would be accepted"]
    shown = page(run.evidence())
    assert "Variants: trained and evaluated" in shown and ">narrow<" in shown
