"""A comparison as a person reads it."""

from collections.abc import Callable
from typing import Any

import pytest

from decant.diff.compare import compare
from decant.diff.layout import as_text
from decant.diff.page import grouped, sections, sides, value

NewRun = Callable[..., Any]


def page(project: Any, a: Any, b: Any) -> dict[str, list[str]]:
    """The lines of each section by its title."""
    project.commit(a, "before")
    project.commit(b, "after")
    blocks = shown(project).split("\n\n")
    return {block.partition("  ")[0].splitlines()[0]: block.splitlines()[1:] for block in blocks}


def shown(project: Any) -> str:
    return as_text(sections(compare(project.root, ("HEAD~1", "HEAD"))))


def test_the_conclusion_says_who_gained_and_what_it_cost(
    project: Any, new_run: NewRun, better: Any
) -> None:
    lines = page(project, new_run(), better)["In short, test window"]
    gain = "0.4653 → 0.5177, +0.0524 [+0.0349, +0.0699], better"
    assert lines[0] == f"  family, NDCG@10 (mean over users): {gain}"
    assert lines[1:] == [
        "  better: women",
        "  the same ranks: general",
        "  size of the family 2.00 kB",
        "  all models together trained on 1,640 → 1,480 predictions",
        "  gate passed, 1 checks → passed, 1 checks",
    ]


def test_settings_and_stages_are_told_with_their_causes(
    project: Any, new_run: NewRun, better: Any
) -> None:
    result = page(project, new_run(), better)
    assert result["Settings that differ"] == ["  distill.segment_epochs  6  2"]
    stages = [" ".join(line.split()) for line in result["Stages that ran"]]
    assert stages == [
        "distill@general distill.segment_epochs the same",
        "distill@women distill.segment_epochs changed",
        "evaluate after distill@women changed",
        "gate after evaluate the same",
        "candidate after evaluate changed",
        "unchanged: raw, features, segments, teacher",
    ]


def test_each_figure_has_its_interval_users_and_verdict(
    project: Any, new_run: NewRun, better: Any
) -> None:
    result = page(project, new_run(), better)
    women = next(line for line in result["Quality, test: NDCG@10"] if "women" in line)
    assert women.split()[:2] == ["family,", "women"]
    assert "[+0.0" in women and women.endswith("30  better")
    teacher = next(line for line in result["Quality, test: NDCG@10"] if "teacher" in line)
    assert teacher.endswith("60  the same ranks") and "[" not in teacher


def test_runs_that_do_not_differ_say_so(project: Any, new_run: NewRun) -> None:
    result = page(project, new_run(), new_run())
    assert result["Settings that differ"] == ["  none"]
    assert result["Stages that ran"][0] == "  none"
    assert result["A and B"][2] == (
        "  both are release aaaaaaaaaaaaaaaa: the same models, settings and data"
    )


def test_what_is_missing_is_said_with_how_to_get_it(
    project: Any, new_run: NewRun, better: Any
) -> None:
    project.commit(new_run())
    project.commit(better)
    project.forget(better, "data/evaluation/cases.parquet")
    assert "no DVC remote is set to fetch missing outputs from" in shown(project)
    (project.root / ".dvc/config").write_text("[core]\n    remote = store\n")
    text = shown(project)
    assert "B: data/evaluation/cases.parquet is not in DVC's cache: figures without" in text
    assert "`dvc fetch -r store --all-commits data/evaluation" in text
    assert "as recorded by each run; earlier versions recorded means over cases" in text
    assert "family, NDCG@10 (as recorded): " in text


def test_a_side_whose_figures_are_gone_still_has_its_settings_and_stages(
    project: Any, new_run: NewRun, better: Any
) -> None:
    run = new_run()
    project.commit(run)
    project.commit(better)
    for place in ("data/evaluation/metrics.json", "data/gate/verdict.json"):
        project.forget(better, place)
    text = shown(project)
    assert "distill.segment_epochs  6  2" in text and "means over" not in text
    assert "unknown → unknown" in text  # the bytes are those of A too, so the cache has neither


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["raw", "gate"], ["raw", "gate"]),
        (["distill@a", "evaluate"], ["distill@a", "evaluate"]),
        (["distill@a", "distill@b", "compress@a"], ["distill (2 students)", "compress@a"]),
    ],
)
def test_a_step_for_several_students_is_one_name(names: list[str], text: list[str]) -> None:
    assert grouped(names) == text


def test_a_setting_is_shown_on_one_line_and_cut_where_it_is_long() -> None:
    assert value(None) == "null" and value(["a", 1]) == '["a", 1]' and value("a b") == "a b"
    assert len(value(list(range(100)))) == 48


def test_equal_releases_of_other_settings_are_not_said_to_have_the_same() -> None:
    side = {"name": "A", "title": "a commit", "release": "a" * 16}
    document = {"a": side, "b": side, "settings": [{"key": "evaluate.k", "a": 10, "b": 20}]}
    assert sides(document)[-1] == (
        "both are release aaaaaaaaaaaaaaaa: the same models and data; settings differ"
    )
