"""A name leads to a commit, a release or the workspace, or to one clear line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.diff.sides import SideError, find, read_side
from decant.files import ContentError
from decant.release.registry import Registry
from decant.release.store import LocalStore

MakeCandidate = Callable[..., Path]


@pytest.fixture
def released(project: Any, new_run: Callable[..., Any], make_candidate: MakeCandidate) -> str:
    """The id of a release on production, published with a run's dvc.lock and settings."""
    project.commit(new_run())
    extra = {n: (project.root / n).read_bytes() for n in ("dvc.lock", "params.yaml")}
    (project.root / "params.yaml").write_text("seed: 3\n")
    registry = Registry(LocalStore(project.root / "registry"))
    release = registry.publish(make_candidate(), extra)
    registry.promote(release)
    return release


def test_a_branch_a_tag_and_the_beginning_of_a_hash_are_a_commit(
    project: Any, new_run: Callable[..., Any]
) -> None:
    commit = project.commit(new_run(), "The first run")
    project.git("tag", "v1")
    for name in ("main", "v1", "HEAD", commit, commit[:9]):
        place = find(project.root, name)
        assert (place.kind, place.id) == ("commit", commit)
    assert place.title.endswith(", The first run")


def test_an_experiment_of_dvc_is_a_commit_by_its_name(
    project: Any, new_run: Callable[..., Any]
) -> None:
    commit = project.commit(new_run())
    project.git("update-ref", f"refs/exps/ab/{commit}/wide-lane", commit)
    place = find(project.root, "wide-lane")
    assert (place.id, place.title) == (commit, f"experiment, commit {commit[:8]}")
    with pytest.raises(SideError):
        find(project.root, "*")


def test_a_channel_and_the_beginning_of_an_id_are_a_release(project: Any, released: str) -> None:
    for name in ("production", released, released[:6]):
        place = find(project.root, name)
        assert (place.kind, place.id) == ("release", released)
    with pytest.raises(SideError, match="nothing was promoted to canary yet"):
        find(project.root, "canary")


def test_a_release_holds_its_figures_and_its_ranks_lie_in_the_cache(
    project: Any, released: str, better: Any
) -> None:
    side = project.side("production")
    assert side.release == released and side.verdict["passed"] is True
    assert side.settings["distill.segment_epochs"] == 6
    assert side.outputs.read("data/raw/events.csv") == b"user,item\n"


def test_a_name_of_both_a_release_and_a_branch_is_refused(project: Any, released: str) -> None:
    project.git("branch", "production")
    with pytest.raises(SideError, match=rf"both release {released}, on production and commit"):
        find(project.root, "production")
    assert find(project.root, "refs/heads/production").kind == "commit"


def test_commits_are_compared_without_a_registry_that_can_be_read(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.commit(new_run())
    (project.root / "params.yaml").write_text("nothing: such\n")
    assert find(project.root, "HEAD").kind == "commit"
    with pytest.raises(ValueError, match="unknown key `nothing`"):
        find(project.root, "production")


def test_a_name_that_stands_for_nothing_is_told_with_the_nearest(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.commit(new_run())
    (project.root / "params.yaml").write_text("seed: 3\n")
    with pytest.raises(
        SideError, match=r"no commit, release or channel `mian`; did you mean `main`"
    ):
        find(project.root, "mian")
    with pytest.raises(SideError, match="`decant releases` and `git log` list them"):
        find(project.root, "0123456789")


def test_a_commit_outside_of_git_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 3\n")
    with pytest.raises(SideError, match=r"`HEAD` \(commits: not a Git repository\)"):
        find(tmp_path, "HEAD")


def test_a_side_without_a_record_of_its_run_is_told(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.make(new_run())
    project.git("add", "params.yaml")
    project.git("commit", "--quiet", "-m", "settings alone")
    with pytest.raises(SideError, match=r"no dvc\.lock of commit \w{8}: commit dvc\.lock"):
        project.side("HEAD")
    (project.root / "dvc.lock").unlink()
    with pytest.raises(SideError, match=r"no dvc\.lock in the workspace: run `make run` first"):
        project.side("workspace")


def test_a_damaged_record_names_its_commit(project: Any, new_run: Callable[..., Any]) -> None:
    project.make(new_run())
    (project.root / "dvc.lock").write_bytes(b"stages: [\n")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "damaged")
    with pytest.raises(ContentError, match=r"dvc\.lock of commit \w{8} is damaged: it is not YAML"):
        project.side("HEAD")
    with pytest.raises(ContentError, match=r"dvc\.lock in the workspace is damaged"):
        project.side("workspace")


def test_settings_that_were_changed_after_the_run_are_noted(
    project: Any, new_run: Callable[..., Any]
) -> None:
    project.commit(new_run())
    text = (project.root / "params.yaml").read_text()
    (project.root / "params.yaml").write_text(
        text.replace("segment_epochs: 6", "segment_epochs: 1")
    )
    assert project.side("HEAD").notes == []
    [note] = project.side("workspace").notes
    assert note == "distill.segment_epochs in params.yaml: the stages ran with other values"


def test_figures_that_the_cache_lacks_are_noted(project: Any, new_run: Callable[..., Any]) -> None:
    run = new_run()
    project.commit(run)
    project.forget(run, "data/gate/verdict.json")
    side = read_side(project.root, find(project.root, "HEAD"))
    assert side.verdict == {} and side.metrics["k"] == 10
    assert side.notes == ["data/gate/verdict.json is not in DVC's cache"]


def test_a_project_below_the_top_of_its_repository_is_read(
    project: Any, new_run: Callable[..., Any], tmp_path: Path
) -> None:
    project.commit(new_run())
    inner = project.root / "inner"
    (inner / ".dvc").mkdir(parents=True)
    for name in ("params.yaml", "dvc.lock"):
        (inner / name).write_bytes((project.root / name).read_bytes().replace(b"6", b"5", 1))
    project.git("add", "inner/params.yaml", "inner/dvc.lock")
    project.git("commit", "--quiet", "-m", "below")
    side = read_side(inner, find(inner, "HEAD"))
    assert side.settings != project.side("HEAD").settings
