"""The table in the terminal."""

from typing import Any

from decant.evaluation.baselines import NAMES
from decant.release.remedies import remedies
from decant.report.console import WIDTH, table, wrapped


def test_the_models_stand_in_order_with_who_ships(run: Any) -> None:
    lines = table(run.metrics, run.verdict).splitlines()
    names = [line.split("  ")[0] for line in lines]
    bar = names.index("markov (best traditional)")
    assert names[2] == "popularity" and sorted(names[2:bar]) == sorted({*NAMES} - {"markov"})
    assert names[bar + 1 : bar + 6] == [
        "teacher",
        "general",
        "men (general serves)",
        "women",
        "family, as released",
    ]
    assert lines[0].split()[-6:] == ["NDCG@10", "HR@10", "/teacher", "/oracle", "size", "p50"]
    assert lines[-1] == f"gate: PASSED, {len(run.verdict['checks'])} checks"


def test_a_segments_figures_are_of_its_own_group_beside_the_teacher_there(run: Any) -> None:
    line = next(x for x in table(run.metrics, run.verdict).splitlines() if x.startswith("women"))
    models = run.metrics["models"]
    ours = models["women/int8"]["test"]["women"]["ndcg"]
    teacher = models["teacher"]["test"]["women"]["ndcg"]
    assert f"{ours:.4f}" in line and f"{100 * ours / teacher:.1f} %" in line
    assert line.split()[-4:] == ["60.0", "kB", "200", "µs"]


def test_the_users_of_each_row_are_said_where_there_are_groups(run: Any) -> None:
    text = table(run.metrics, run.verdict)
    assert "user groups are measured on their own users, all other rows on all users" in text
    assert "NDCG and HR are means over users" in text
    assert "all users" not in table(run.metrics, {**run.verdict, "segments": {}})


def test_it_fits_the_terminal_whatever_the_names(run: Any) -> None:
    long = "students_of_the_third_year_who_buy_books_at_night_in_the_north"
    judged = run.verdict["segments"]["women"]
    run.verdict["segments"][long] = judged
    run.verdict["checks"] += [{"name": f"{long}_{n}", "passed": False} for n in range(9)]
    run.verdict["passed"] = False
    lines = table(run.metrics, run.verdict).splitlines()
    assert max(map(len, lines)) <= WIDTH == 100
    assert any(line.startswith("gate: FAILED, 9 of ") for line in lines)


def test_a_failed_gate_tells_each_failed_check_in_words_and_what_to_do(run: Any) -> None:
    why = "family over hybrid, relative, mean NDCG of the deciding users; 400 users"
    lift = {"name": "lift", "value": -0.0233, "bound": -0.031, "threshold": 0.0, "why": why}
    size = {"name": "size_ratio", "value": 41.7, "threshold": 1000.0, "why": "x"}
    lift, size = ({**check, "passed": False} for check in (lift, size))
    run.verdict["checks"] += [lift, size]
    run.verdict["passed"] = False
    lines = table(run.metrics, run.verdict).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("gate: FAILED, 2 of "))
    assert " ".join(" ".join(lines[start + 1 : start + 3]).split()) == (
        f"lift: -2.33%, bound -3.10%, at least 0.00% is needed ({why})"
    )
    assert lines[start + 3 :] == [
        "  size_ratio: 41.7, at least 1000 is needed (x)",
        *[part for remedy in remedies([lift, size]) for part in wrapped(f"to do: {remedy}")],
        "more on each check: docs/troubleshooting.md, `The gate failed`",
    ]


def test_a_gate_that_passed_with_thresholds_switched_off_says_so(run: Any) -> None:
    run.verdict["thresholds_off"] = ["min_lift: -1", "margin: 1"]
    lines = table(run.metrics, run.verdict).splitlines()
    assert lines[-1] == "these settings of the gate check nothing: min_lift: -1, margin: 1"


def test_a_segment_that_general_serves_has_its_reason(run: Any) -> None:
    reason = run.verdict["segments"]["men"]["reason"]
    assert f"men: general serves, {reason}" in table(run.metrics, run.verdict).splitlines()


def test_what_is_missing_is_a_dash(run: Any, without: Any) -> None:
    metrics = without(without(run.metrics, "oracle"), "latency_us")
    lines = table(metrics, run.verdict).splitlines()
    teacher = next(line for line in lines if line.startswith("teacher"))
    assert teacher.split()[-4:] == ["-", "1.00", "MB", "-"]


def test_without_a_verdict_nobody_is_said_to_ship(run: Any) -> None:
    text = table(run.metrics)
    assert "teacher" in text and "general" in text
    assert "women" not in text and "family" not in text
    assert text.endswith("gate: not measured")
