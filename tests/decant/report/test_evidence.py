"""What the page rests on."""

from typing import Any

import pytest

from decant.report.evidence import baselines, own_group


def test_baselines_come_best_first(run: Any) -> None:
    names = baselines(run.metrics)
    assert names[0] == "markov" and names[-1] == "popularity"
    assert "teacher" not in names and "oracle" not in names


def test_general_is_measured_on_all_users_if_every_user_is_in_a_segment(run: Any) -> None:
    assert own_group(run.metrics, "general") == "general"
    assert own_group(run.metrics, "women") == "women"
    run.metrics["groups"]["general"]["test_cases"] = 0
    assert own_group(run.metrics, "general") == "all"


def test_the_oracles_share_is_worked_out_for_every_model(run: Any) -> None:
    reached = {(s.name, s.group): s.share for s in run.evidence().oracle}
    assert {"markov", "teacher", "general/int8", "women/int8", "men/int8", "family"} <= {
        name for name, _ in reached
    }
    models = run.metrics["models"]
    expected = (
        models["women/int8"]["test"]["women"]["ndcg"] / models["oracle"]["test"]["women"]["ndcg"]
    )
    share = reached["women/int8", "women"]
    assert share is not None and share["value"] == pytest.approx(expected)


def test_without_an_oracle_there_are_no_shares(run: Any) -> None:
    del run.metrics["models"]["oracle"]
    assert run.evidence().oracle == []


def test_retention_is_on_the_students_own_group(run: Any) -> None:
    models = run.metrics["models"]
    expected = models["men/int8"]["test"]["men"]["ndcg"] / models["teacher"]["test"]["men"]["ndcg"]
    retention = run.evidence().retention["men"]
    assert retention is not None and retention["value"] == pytest.approx(expected)
