"""What stages have made is read from DVC's cache, and only if it is unharmed."""

from pathlib import Path
from typing import Any

import pytest

from decant.diff.cache import NotCachedError, Outputs, cache_folder, default_remote


def test_a_file_in_an_output_folder_is_found_by_the_folders_list(project: Any, better: Any) -> None:
    project.commit(better)
    outputs = project.side("HEAD").outputs
    assert outputs.read("data/raw/events.csv") == b"user,item\n"
    assert outputs.md5("data/raw/nothing.csv") is None
    assert outputs.md5("elsewhere") is None


def test_what_the_cache_lacks_is_named(project: Any, better: Any) -> None:
    project.commit(better)
    project.forget(better, "data/raw/events.csv")
    with pytest.raises(NotCachedError, match=r"data/raw/events\.csv is not in DVC's cache"):
        project.side("HEAD").outputs.read("data/raw/events.csv")
    with pytest.raises(NotCachedError, match="not an output of any stage"):
        project.side("HEAD").outputs.read("data/raw/other.csv")


@pytest.mark.parametrize("place", ["data/raw/events.csv", "data/raw"])
def test_a_content_that_is_not_what_its_name_says_is_damaged(
    project: Any, better: Any, place: str
) -> None:
    project.commit(better)
    md5 = project.side("HEAD").outputs.md5(place)
    project.cache_path(md5).write_bytes(b"[]")
    with pytest.raises(NotCachedError, match=f"{place} is damaged in DVC's cache"):
        project.side("HEAD").outputs.read("data/raw/events.csv")


def test_a_list_of_files_that_is_none_is_damaged(project: Any) -> None:
    outputs = Outputs(project.root / ".dvc/cache", {"data/raw": project.cached(b"{}[", ".dir")})
    with pytest.raises(NotCachedError, match="data/raw is damaged"):
        outputs.read("data/raw/events.csv")


def test_the_cache_lies_where_dvcs_configuration_says(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    assert cache_folder(tmp_path) == tmp_path / ".dvc" / "cache"
    (tmp_path / ".dvc/config").write_text("[cache]\n    dir = /shared\n")
    assert cache_folder(tmp_path) == Path("/shared")
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = ../near\n")
    assert cache_folder(tmp_path) == tmp_path / ".dvc" / "../near"


def test_the_default_remote_is_that_of_dvcs_configuration(tmp_path: Path) -> None:
    assert default_remote(tmp_path) is None
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    remote = store\n['remote \"store\"']\n    url = s3://releases/dvc\n"
    )
    assert default_remote(tmp_path) == "store"
    (tmp_path / ".dvc/config").write_text("no configuration")
    assert default_remote(tmp_path) is None
