"""What Prefect shows of a stage."""

from pathlib import Path

from tasks.runner.dvc_stages import StageResult
from tasks.runner.prefect_task import page


def test_a_page_that_the_step_wrote_is_shown_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("## Ingested\n")
    assert page(StageResult("ingest", "ran", 1.0, {}, (tmp_path,))) == "## Ingested\n"


def test_without_a_page_its_figures_are_shown(tmp_path: Path) -> None:
    shown = page(StageResult("ingest", "ran", 1.0, {"inputs": 1}, (tmp_path,)))
    assert shown.startswith("**ingest**") and '"inputs": 1' in shown
