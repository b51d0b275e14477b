"""`decant configure --protocol`: what it writes, and what it refuses before anything is copied."""

from pathlib import Path

import pytest
import yaml

from decant.cli import MISTAKE, main
from decant.commands.configure import ConfigureError, configure
from decant.commands.protocol import ProtocolError
from decant.data.sources import p1
from decant.data.sources.p1 import OtherDataError
from decant.data.sources.readers import read
from decant.params.data import Ingest
from decant.params.load import load_params

REPOSITORY = Path(__file__).resolve().parents[3]
USERS, FILMS = range(1, 7), range(10, 16)


@pytest.fixture
def root(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, where P1 is a log of six users who rate all of six films in the same order."""
    log = read("movielens-1m", benchmark_file(tmp_path / "expected"), Ingest()).events
    monkeypatch.setattr(p1, "P1", p1.facts(log))
    return project


def benchmark_file(folder: Path) -> Path:
    folder.mkdir()
    lines = [f"{user} {film}\n" for user in USERS for film in FILMS]
    (folder / "ml-1m.txt").write_text("".join(lines))
    return folder


def publishers_files(folder: Path, films: range = FILMS) -> Path:
    folder.mkdir()
    lines = [f"{u}::{film}::3::{u + n}\n" for u in USERS for n, film in enumerate(films)]
    (folder / "ratings.dat").write_text("".join(lines))
    (folder / "users.dat").write_text("".join(f"{u}::F::25::1::1\n" for u in USERS))
    (folder / "movies.dat").write_text("".join(f"{film}::X::Comedy\n" for film in films))
    return folder


def protocol(root: Path) -> str | None:
    return load_params(root / "params.yaml").ingest.protocol


def test_it_is_written_and_kept_until_another_source_or_none(root: Path, tmp_path: Path) -> None:
    before = (root / "params.yaml").read_text()
    configure(root, "movielens-1m", publishers_files(tmp_path / "ml"), protocol="p1")
    assert protocol(root) == "p1"
    assert configure(root, "movielens-1m") == []
    configure(root, "movielens-1m", protocol="none")
    assert protocol(root) is None
    configure(root, "movielens-1m", protocol="p1")
    configure(root, "demo")
    assert (root / "params.yaml").read_text() == before


def test_other_data_is_refused_before_it_is_copied(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / "params.yaml").read_text()
    other = publishers_files(tmp_path / "ml", range(10, 17))
    with pytest.raises(OtherDataError, match="7 items instead of 6, 42 events instead of 36"):
        configure(root, "movielens-1m", other, protocol="p1")
    assert (root / "params.yaml").read_text() == before
    assert not (root / "data").exists()
    words = ["configure", "--source=movielens-1m", f"--from={other}", "--protocol=p1"]
    assert main(words) == MISTAKE
    assert len(capsys.readouterr().err.splitlines()) == 1
    configure(root, "movielens-1m", other)  # without the protocol


@pytest.mark.parametrize("profile", [None, "quick", "full"])
def test_a_log_of_ids_alone_takes_no_profile_that_reads_more(
    root: Path, tmp_path: Path, profile: str | None
) -> None:
    place = benchmark_file(tmp_path / "sas")
    with pytest.raises(ProtocolError) as caught:
        configure(root, "movielens-1m", place, profile, "p1")
    message = str(caught.value)
    assert message.startswith("ml-1m.txt has item ids alone, but these settings read age, gender")
    assert "users.dat" in message and "--profile ids" in message


@pytest.mark.parametrize("profile", ["ids", "ids-ensemble"])
def test_the_profiles_of_ids_are_alike_for_every_log(
    root: Path, tmp_path: Path, profile: str
) -> None:
    settings = []
    for place in (benchmark_file(tmp_path / "sas"), publishers_files(tmp_path / "ml")):
        configure(root, "movielens-1m", place, profile, "p1")
        settings.append(yaml.safe_load((root / "params.yaml").read_text()))
    assert settings[0] == settings[1]
    assert settings[0]["features"]["attributes"] == []
    assert settings[0]["teacher"]["inputs"] == settings[0]["distill"]["inputs"] == ["item"]
    assert list(settings[0]["students"]) == ["general"]
    assert settings[0]["teacher"]["ensemble"] == (2 if profile == "ids-ensemble" else 0)


def test_no_profile_of_movielens_1m_reads_a_gap(root: Path) -> None:
    text = (root / "presets" / "movielens-1m.yaml").read_text()
    preset = yaml.safe_load(text)
    for overlay in (preset["settings"], *preset["profiles"].values()):
        for block in ("teacher", "distill"):
            assert "gap" not in overlay.get(block, {}).get("inputs", [])


def test_an_unknown_protocol_profile_or_another_source_is_refused(root: Path) -> None:
    with pytest.raises(ProtocolError, match="no protocol `p2`; known: p1, none"):
        configure(root, "movielens-1m", protocol="p2")
    with pytest.raises(ProtocolError, match="p1 is for movielens-1m, not for demo: omit it"):
        configure(root, "demo", protocol="p1")
    with pytest.raises(ConfigureError, match="no profile `ids`"):
        configure(root, "demo", profile="ids")


def test_upgrade_goes_without_a_protocol(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configure", "--upgrade", "--protocol=p1"]) == MISTAKE
    assert "--upgrade goes alone" in capsys.readouterr().err
