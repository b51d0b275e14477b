"""The verdict in one sentence, and the key figures."""

from typing import Any

from decant.report.verdict import groups_tile, sentence


def test_a_run_that_passed_is_told_in_one_sentence(run: Any) -> None:
    told = sentence(run.evidence())
    assert told.startswith("The family may be released; on the test window it reaches ")
    assert "above the best traditional model, markov" in told
    assert "1/10.0 of the teacher's time" in told and "1/16.7 of the teacher's size" in told
    assert told.endswith(".") and ". " not in told


def test_a_family_below_the_best_traditional_model_is_told_so(run: Any) -> None:
    worse = run.cases["model"].str.endswith("/int8")
    cases = run.cases.assign(rank=run.cases["rank"] + 5 * worse)
    assert "below the best traditional model" in sentence(run.change(cases=cases).evidence())


def test_only_what_was_measured_is_told(run: Any, without: Any) -> None:
    told = sentence(run.change(metrics=without(run.metrics, "latency_us")).evidence())
    assert "time" not in told and "size" in told
    nobody = run.cases[run.cases["model"] == "nobody"]
    bare = without(without(run.metrics, "latency_us"), "bytes")
    told = sentence(run.change(metrics=bare, cases=nobody).evidence())
    assert told == "The family may be released; nothing of it was measured on the test window."


def test_groups_served_by_general_are_counted(run: Any) -> None:
    assert groups_tile(run.verdict)[1:] == ("1 of 2", "general serves the others")
    assert groups_tile({})[1] == "0 of 0"
