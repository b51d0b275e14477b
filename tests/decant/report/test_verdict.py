"""The verdict in one sentence, its key figures, its checks."""

from typing import Any

from decant.report.verdict import best_baseline, check_rows, key_figures, sentence

NO_BREAK = "\u00a0"


def test_a_run_that_passed_is_described_in_one_sentence(run: Any) -> None:
    text = sentence(run.evidence())
    assert text.startswith("The family may be released; on the test window it reaches ")
    assert "above the best traditional model, markov" in text
    assert "1/10.0 of the teacher's time" in text and "1/16.7 of the teacher's size" in text
    assert text.endswith(".") and ". " not in text


def test_a_family_below_the_best_traditional_model_is_called_below(run: Any) -> None:
    worse = run.cases["model"].str.endswith("/int8")
    cases = run.cases.assign(rank=run.cases["rank"] + 5 * worse)
    evidence = run.change(cases=cases).evidence()
    assert evidence.lift is not None and evidence.lift["value"] < 1
    below = f"{100 * (1 - evidence.lift['value']):.1f}{NO_BREAK}% below"
    assert f"it is {below} the best traditional model" in sentence(evidence)


def test_only_measured_figures_are_in_the_sentence(run: Any, without: Any) -> None:
    text = sentence(run.change(metrics=without(run.metrics, "latency_us")).evidence())
    assert "time" not in text and "size" in text
    nobody = run.cases[run.cases["model"] == "nobody"]
    bare = without(without(run.metrics, "latency_us"), "bytes")
    text = sentence(run.change(metrics=bare, cases=nobody).evidence())
    assert text == "The family may be released; nothing was measured on the test window."


def test_a_failed_gate_says_how_many_checks_failed(run: Any) -> None:
    run.verdict["passed"] = run.verdict["checks"][0]["passed"] = False
    count = len(run.verdict["checks"])
    start = f"The family must not be released: 1 of {count} checks failed; "
    assert sentence(run.evidence()).startswith(start)


def test_key_figures_are_those_of_the_run_and_missing_ones_stay_missing(run: Any) -> None:
    evidence = run.evidence()
    key = key_figures(evidence)
    assert key["family"] == evidence.figures["family.ndcg@10"]
    assert key["size"] is not None and key["size"]["value"] == 1_000_000 / 60_000
    assert all(figure is not None for figure in key.values())
    cases = run.cases[run.cases["model"] != "oracle"]
    missing = key_figures(run.change(cases=cases).evidence())
    assert [name for name, figure in missing.items() if figure is None] == ["oracle"]


def test_each_check_is_a_row_whose_value_can_be_told_from_its_threshold(run: Any) -> None:
    run.verdict["checks"] = [
        {"name": "a", "passed": False, "value": 0.899999, "threshold": 0.9, "why": "nearly"},
        {"name": "b", "passed": False, "value": None, "threshold": 2, "why": "nothing"},
        {"name": "c", "passed": True, "value": 3.0, "threshold": 2, "why": "enough"},
    ]
    rows = check_rows(run.verdict)
    assert [(row.value, row.threshold, row.passed) for row in rows] == [
        ("0.899999", "0.9", False), ("not measured", "2", False), ("3", "2", True),
    ]  # fmt: skip
    assert check_rows({}) == []


def test_without_a_best_traditional_model_none_is_named(run: Any) -> None:
    assert best_baseline(run.evidence()) == "markov"
    del run.verdict["best_baseline"]
    assert best_baseline(run.evidence()) == "not measured"
    assert "traditional" not in sentence(run.evidence())
