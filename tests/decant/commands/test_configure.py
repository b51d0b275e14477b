"""Switching sources keeps params.yaml readable, and switching back changes nothing."""

import argparse
import shutil
from pathlib import Path

import pytest
import yaml

from decant.cli import main
from decant.commands import configure as command
from decant.commands.configure import ConfigureError, configure
from decant.data.sources.layout import MissingFilesError
from decant.features.segments import RuleError
from decant.lock import BusyError, locked
from decant.params.edit import rewrite
from decant.params.load import load_params
from decant.params.types import SOURCES

REPOSITORY = Path(__file__).resolve().parents[3]
PRESETS = {source: REPOSITORY / "presets" / f"{source}.yaml" for source in SOURCES}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(REPOSITORY / "params.yaml", root)
    shutil.copy(REPOSITORY / "dvc.yaml", root)
    shutil.copytree(REPOSITORY / "presets", root / "presets")
    return root


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A folder for each source with files that bear the right names."""
    names = {
        "movielens-100k": ["u.data", "u.user", "u.item", "u.genre"],
        "movielens-1m": ["ratings.dat", "users.dat", "movies.dat"],
        "online-retail": ["by-day/2010-12-01.csv", "by-day/2010-12-02.csv"],
        "files": ["events.csv", "notes.txt"],
    }
    folders = {}
    for source, listed in names.items():
        folders[source] = tmp_path / "from" / source
        for name in listed:
            path = folders[source] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{source} {name}\n")
    return folders


def keys(path: Path) -> set[tuple[str, str]]:
    settings = yaml.safe_load(path.read_text())["settings"]
    return {(b, k) for b, values in settings.items() if b != "students" for k in values}


def test_every_preset_sets_the_same_keys() -> None:
    expected = keys(PRESETS["demo"])
    assert {source: keys(path) ^ expected for source, path in PRESETS.items()} == {
        source: set() for source in SOURCES
    }


@pytest.mark.parametrize("source", SOURCES)
def test_an_overlay_sets_only_what_the_preset_sets(source: str) -> None:
    preset = yaml.safe_load(PRESETS[source].read_text())
    assert {"quick", "full"} <= set(preset["profiles"])
    for overlay in (preset["without_users"], *preset["profiles"].values()):
        for block, settings in overlay.items():
            assert block == "students" or set(settings) <= set(preset["settings"][block])


def test_the_demo_preset_is_the_committed_params(root: Path) -> None:
    assert configure(root, "demo", profile="quick") == []


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "demo"])
@pytest.mark.parametrize("profile", ["quick", "full"])
def test_switching_there_and_back_leaves_params_as_they_were(
    root: Path, files: dict[str, Path], source: str, profile: str
) -> None:
    before = (root / "params.yaml").read_text()
    diff = configure(root, source, files[source], profile)
    assert any(line.startswith(f"+source: {source}") for line in diff)
    params = load_params(root / "params.yaml")
    assert params.source == source
    assert configure(root, source, files[source], profile) == []
    configure(root, "demo")
    assert (root / "params.yaml").read_text() == before


def test_profiles_differ(root: Path, files: dict[str, Path]) -> None:
    configure(root, "movielens-1m", files["movielens-1m"])
    quick = load_params(root / "params.yaml").teacher.epochs
    configure(root, "movielens-1m", profile="full")
    assert load_params(root / "params.yaml").teacher.epochs > quick


def test_files_are_copied_once_and_only_those_that_are_needed(
    root: Path, files: dict[str, Path]
) -> None:
    configure(root, "files", files["files"])
    copied = root / "data/raw/files/events.csv"
    stamp = copied.stat().st_mtime_ns
    configure(root, "files", files["files"])
    assert copied.stat().st_mtime_ns == stamp
    assert [path.name for path in copied.parent.iterdir()] == ["events.csv"]
    (files["files"] / "events.csv").write_text("more\n")
    configure(root, "files", files["files"])
    assert copied.read_text() == "more\n"


def test_settings_of_own_tables_are_fitted_to_their_events(
    root: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """With times, repeats and events of one moment, and without."""
    rows = [
        f"u{user},{item},2026-01-0{day}" for user in range(4) for day in (1, 2) for item in (1, 2)
    ]
    (files["files"] / "events.csv").write_text("\n".join(["user,item,day", *rows]) + "\n")
    configure(root, "files", files["files"])
    params = load_params(root / "params.yaml")
    assert (params.features.exclude_seen, params.features.baskets) == (False, False)
    assert params.split.method == "leave-one-out"
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("  time: null ", "  time: day "))
    capsys.readouterr()
    configure(root, "files", profile="quick")
    params = load_params(path)
    assert (params.features.exclude_seen, params.features.baskets) == (False, True)
    assert params.split.method == "time"
    assert "features.baskets: true, since 100% of the events" in capsys.readouterr().out


def test_events_that_cannot_be_read_leave_the_settings_of_the_preset(
    root: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root, "files", files["files"])
    assert "settings are not fitted to the events: events.csv" in capsys.readouterr().err
    assert load_params(root / "params.yaml").features.exclude_seen


def test_files_of_an_earlier_folder_do_not_stay(
    root: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(root, "online-retail", files["online-retail"])
    (files["online-retail"] / "by-day/2010-12-01.csv").unlink()
    configure(root, "online-retail", files["online-retail"])
    copied = root / "data/raw/online-retail/by-day"
    assert [path.name for path in copied.iterdir()] == ["2010-12-02.csv"]
    assert (
        "removed by-day/2010-12-01.csv, which the source does not have" in capsys.readouterr().err
    )


def test_the_sources_own_folder_is_left_as_it_is(root: Path, files: dict[str, Path]) -> None:
    folder = root / "data/raw/files"
    shutil.copytree(files["files"], folder)
    configure(root, "files", folder)
    assert {path.name for path in folder.iterdir()} == {"events.csv", "notes.txt"}


def test_students_and_attributes_written_for_own_tables_are_kept(
    root: Path, files: dict[str, Path]
) -> None:
    path = root / "params.yaml"
    path.write_text(
        path.read_text()
        .replace("attributes: [age, gender, region]", "attributes: [age, city]")
        .replace(
            "  women_under_35: {init: general, where: \"gender == 'F' and age < 35\"",
            "  lyon: {init: general, where: \"city == 'Lyon'\"",
        )
    )
    configure(root, "files", files["files"])
    params = load_params(path)
    assert params.features.attributes == ["age", "city"]
    assert "lyon" in params.students
    assert params.split.method == "leave-one-out"


@pytest.mark.parametrize("source", ["demo", "files"])
def test_a_rule_that_does_not_parse_is_refused_before_anything_runs(
    root: Path, files: dict[str, Path], source: str
) -> None:
    path = root / "params.yaml"
    text = path.read_text().replace("where: \"gender == 'F' and age < 35\"", 'where: "age <"')
    path.write_text(text)
    with pytest.raises(RuleError, match=r"students\.women_under_35\.where: cannot parse `age <`"):
        configure(root, source, files.get(source))
    assert path.read_text() == text


OWN_STUDENTS = """students:
  general: {init: teacher}
  families: {init: general, where: "size >= 4", priority: 5}
  typo: {init: general, where: "age in ['19 - 24', '25-34']", priority: 5}
"""


def with_own_users(root: Path, folder: Path, students: str = OWN_STUDENTS) -> None:
    """Own tables with a table of users, and rules on it."""
    rows = [f"u{n},{n % 4 + 1 if n % 5 else '5+'},{('19-24', '25-34')[n % 2]}" for n in range(40)]
    (folder / "users.csv").write_text("\n".join(["user,size,age", *rows]) + "\n")
    text = (root / "params.yaml").read_text()
    text = text.replace("  users: null ", "  users: users.csv ")
    start = text.index("students: ")
    (root / "params.yaml").write_text(text[:start] + students + text[text.index("\ncompress:") :])


def test_suspicious_rules_are_noted_before_anything_runs(
    root: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with_own_users(root, files["files"])
    (files["files"] / "events.csv").write_text("user,item\nu1,1\nu1,2\nu2,1\n")
    configure(root, "files", files["files"])
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "families and students.typo have priority 5 and can match the same user" in notes[0]
    assert "8 of 40 users have a size that is not a number (`5+` 8)" in notes[1]
    assert "no user has the age `19 - 24`; did you mean `19-24`?" in notes[2]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [("age == 'x' and age == 'y'", "can never match"), ("town == 'x'", "unknown attribute `town`")],
)
def test_a_rule_that_serves_nobody_is_refused_before_anything_runs(
    root: Path, files: dict[str, Path], rule: str, problem: str
) -> None:
    students = OWN_STUDENTS + f'  odd: {{init: general, where: "{rule}", priority: 9}}\n'
    with_own_users(root, files["files"], students)
    text = (root / "params.yaml").read_text()
    with pytest.raises(RuleError, match=problem):
        configure(root, "files", files["files"])
    assert (root / "params.yaml").read_text() == text


def test_places_below_the_folder_are_kept(root: Path, files: dict[str, Path]) -> None:
    configure(root, "online-retail", files["online-retail"])
    assert len(list((root / "data/raw/online-retail/by-day").iterdir())) == 2


def test_own_groups_come_back_from_another_source(
    root: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (files["files"] / "users.csv").write_text("user,city\na,Lyon\n")
    path = root / "params.yaml"
    settings = yaml.safe_load(path.read_text())["ingest"] | {"users": "users.csv"}
    students = {
        "general": {"init": "teacher"},
        "lyon": {"init": "general", "where": "city == 'Lyon'", "priority": 1},
    }
    own = {"ingest": settings, "features": {"attributes": ["city"]}, "students": students}
    path.write_text(rewrite(path.read_text(), own))
    configure(root, "files", files["files"])
    before = path.read_text()
    configure(root, "demo")
    assert "lyon" not in load_params(path).students
    assert "`decant configure --source=files` takes them back" in capsys.readouterr().err
    configure(root, "files")
    assert path.read_text() == before
    assert load_params(path).features.attributes == ["city"]


def test_settings_that_a_stage_needs_are_added(root: Path, files: dict[str, Path]) -> None:
    path = root / "params.yaml"
    configure(root, "files", files["files"])
    text = path.read_text()
    path.write_text(text.replace("  taste_groups:", "  # taste_groups:"))
    diff = configure(root, "files", files["files"])
    assert [line for line in diff if line.startswith(("+ ", "- "))] == ["+  taste_groups: 0"]


def test_own_settings_stay_when_the_source_stays(root: Path, files: dict[str, Path]) -> None:
    configure(root, "files", files["files"])
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 12", "epochs: 3"))
    assert configure(root, "files", files["files"]) == []
    assert load_params(path).teacher.epochs == 3


def test_without_a_table_of_users_there_are_no_segments(root: Path, files: dict[str, Path]) -> None:
    folder = files["movielens-1m"]
    for name in ("ratings.dat", "users.dat", "movies.dat"):
        (folder / name).unlink()
    (folder / "ml-1m.txt").write_text("1 1\n")
    configure(root, "movielens-1m", folder)
    params = load_params(root / "params.yaml")
    assert list(params.students) == ["general"]
    assert params.features.attributes == []


def test_missing_files_change_nothing(root: Path, tmp_path: Path) -> None:
    before = (root / "params.yaml").read_text()
    with pytest.raises(MissingFilesError, match="u.data"):
        configure(root, "movielens-100k", tmp_path)
    with pytest.raises(MissingFilesError):
        configure(root, "movielens-100k")
    assert (root / "params.yaml").read_text() == before


def test_a_misspelt_source_or_profile_names_the_nearest(root: Path) -> None:
    with pytest.raises(ConfigureError, match="did you mean `movielens-1m`"):
        configure(root, "movielens1m")
    with pytest.raises(ConfigureError, match="did you mean `quick`"):
        configure(root, "demo", profile="quik")


def test_the_demo_shop_takes_no_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigureError, match="omit FROM"):
        configure(root, "demo", tmp_path)


def test_line_ends_of_windows_stay(root: Path, files: dict[str, Path]) -> None:
    path = root / "params.yaml"
    before = path.read_bytes()
    expected = configure(root, "files", files["files"])
    after = path.read_bytes()
    path.write_bytes(before.replace(b"\n", b"\r\n"))
    assert configure(root, "files", files["files"]) == expected
    assert path.read_bytes() == after.replace(b"\n", b"\r\n")


def test_the_command_shows_the_difference_and_says_when_there_is_none(
    root: Path,
    files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root)
    parser = argparse.ArgumentParser()
    command.add_commands(parser.add_subparsers())
    words = ["configure", "--source", "files", "--from", str(files["files"])]
    copies = ["1 file copied", "0 files copied, 1 unchanged"]
    for expected, copied in zip(("+source: files", "unchanged, source"), copies, strict=True):
        given = parser.parse_args(words)
        assert given.func(given) == 0
        shown = capsys.readouterr()
        assert expected in shown.out
        assert shown.out.startswith(f"data/raw/files: {copied}\n")
        assert "no effect" not in shown.err


def test_the_command_warns_of_settings_without_effect(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    path = root / "params.yaml"
    path.write_text(rewrite(path.read_text(), {"distill": {"temperature": 2}}))
    nothing = dict.fromkeys(command.OPTIONS)
    assert command.run(argparse.Namespace(**nothing, upgrade=False)) == 0
    assert capsys.readouterr().err == (
        "warning: `distill.temperature` has no effect: only the soft-label loss reads it, and "
        "`distill.soft_weight` is 0\n"
    )


def test_the_command_leaves_a_run_that_is_under_way_alone(
    root: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    parser = argparse.ArgumentParser()
    command.add_commands(parser.add_subparsers())
    given = parser.parse_args(["configure", "--source", "files", "--from", str(files["files"])])
    before = (root / "params.yaml").read_text()
    with locked(root), pytest.raises(BusyError, match="a run is under way"):
        given.func(given)
    assert (root / "params.yaml").read_text() == before
    assert not (root / "data/raw/files").exists()


def run(monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: str) -> int:
    monkeypatch.chdir(root)
    return main(["configure", *arguments])


def test_old_settings_are_renamed_by_the_command_that_their_error_names(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "params.yaml"
    current = path.read_text("utf-8")
    path.write_text(current.replace("  cvar_fraction:", "  worst:"), "utf-8")
    assert run(monkeypatch, root) == 2
    assert "`decant configure --upgrade` renames them" in capsys.readouterr().err
    assert run(monkeypatch, root, "--upgrade") == 0
    assert "+  cvar_fraction: 1.0" in capsys.readouterr().out
    assert path.read_text("utf-8") == current
    assert run(monkeypatch, root, "--upgrade") == 0
    assert "unchanged" in capsys.readouterr().out


def test_renaming_leaves_a_file_alone_that_is_wrong_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "params.yaml"
    wrong = path.read_text("utf-8").replace("  cvar_fraction: 1.0", "  worst: 7.0")
    path.write_text(wrong, "utf-8")
    assert run(monkeypatch, root, "--upgrade") == 2
    assert "distill.cvar_fraction" in capsys.readouterr().err
    assert path.read_text("utf-8") == wrong


def test_renaming_goes_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, root, "--upgrade", "--source=demo") == 2
    assert "--upgrade goes alone" in capsys.readouterr().err
