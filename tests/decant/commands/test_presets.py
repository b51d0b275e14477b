"""`decant configure --groups`: which students it writes, and that own ones are never lost."""

from pathlib import Path

import pytest
import yaml

from decant.cli import MISTAKE, main
from decant.commands.configure import configure
from decant.commands.presets import OWN_GROUPS, PRESET_GROUPS, PresetError, groups_set, read_preset
from decant.data.membership import check_rules
from decant.features.segments import HISTORY_LENGTH, parse_rule
from decant.params.edit import rewrite
from decant.params.load import load_params, parse_params
from decant.params.types import SOURCES

REPOSITORY = Path(__file__).resolve().parents[3]
OWN = {
    "general": {"init": "teacher"},
    "lyon": {"init": "general", "where": "city == 'Lyon'", "priority": 1},
}
NAMED = ["general", "newcomers", "regulars", "heavy"]


@pytest.fixture
def root(project: Path) -> Path:
    return project


@pytest.fixture
def own_tables(root: Path) -> Path:
    """A project for own tables with a group of their own."""
    folder = root / "data/raw/files"
    folder.mkdir(parents=True)
    (folder / "events.csv").write_text("user,item\na,1\n")
    (folder / "users.csv").write_text("user,city\na,Lyon\n")
    path = root / "params.yaml"
    tables = yaml.safe_load(path.read_text())["ingest"] | {"users": "users.csv"}
    settings = {"ingest": tables, "features": {"attributes": ["city"]}, "students": OWN}
    path.write_text(rewrite(path.read_text(), settings))
    configure(root, "files")
    return root


def movielens(root: Path, *names: str) -> None:
    folder = root / "data/raw/movielens-1m"
    folder.mkdir(parents=True)
    for name in names or ("ratings.dat", "users.dat", "movies.dat"):
        (folder / name).write_text("1 1\n")


def students(root: Path) -> list[str]:
    return list(load_params(root / "params.yaml").students)


@pytest.mark.parametrize("source", SOURCES)
def test_every_preset_has_groups_by_activity_that_serve_any_history_once(source: str) -> None:
    preset = read_preset(REPOSITORY, source)
    assert PRESET_GROUPS not in preset["groups"]
    named = {**preset["settings"], "source": source, "students": preset["groups"]["activity"]}
    params = parse_params(named)
    assert list(params.students) == NAMED
    assert check_rules(params.segments, []) == []
    rules = [parse_rule(name, s.where or "") for name, s in params.segments.items()]
    for length in range(2 * params.features.max_length + 2):
        assert sum(rule.matches({HISTORY_LENGTH: length}) for rule in rules) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_a_full_history_is_that_of_the_most_active(source: str) -> None:
    preset = read_preset(REPOSITORY, source)
    heavy = parse_rule("heavy", preset["groups"]["activity"]["heavy"]["where"])
    assert heavy.matches({HISTORY_LENGTH: 2 * preset["settings"]["features"]["max_length"]})
    assert not heavy.matches({HISTORY_LENGTH: 10})


def test_groups_are_written_and_the_presets_come_back(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    diff = configure(root, "demo", groups="activity")
    assert [line for line in diff if line.startswith("+  newcomers: ")]
    assert students(root) == NAMED
    assert configure(root, "demo", groups="activity") == []
    configure(root, "demo", groups="preset")
    assert (root / "params.yaml").read_text() == before


def test_they_stay_with_another_profile_and_go_with_another_source(root: Path) -> None:
    movielens(root)
    configure(root, "movielens-1m", groups="activity")
    configure(root, "movielens-1m", profile="full")
    assert students(root) == NAMED
    configure(root, "movielens-1m")
    assert students(root) == NAMED
    configure(root, "demo")
    assert "women_under_35" in students(root)


def test_another_source_has_its_own_groups_even_if_both_name_the_same(root: Path) -> None:
    movielens(root)
    path = root / "presets/movielens-1m.yaml"
    preset = {**read_preset(root, "movielens-1m"), "groups": read_preset(root, "demo")["groups"]}
    path.write_text(yaml.safe_dump(preset, sort_keys=False))
    configure(root, "demo", groups="activity")
    configure(root, "movielens-1m", profile="full")
    assert "women_under_25" in students(root)


def test_they_need_no_table_of_users(root: Path) -> None:
    movielens(root, "ml-1m.txt")
    configure(root, "movielens-1m", groups="activity")
    assert students(root) == NAMED
    assert load_params(root / "params.yaml").features.attributes == []
    configure(root, "movielens-1m", groups="preset")
    assert students(root) == ["general"]


def test_groups_of_a_preset_whose_attributes_are_left_out_do_not_come_back(root: Path) -> None:
    movielens(root)
    configure(root, "movielens-1m", profile="ids", groups="activity")
    assert students(root) == NAMED
    configure(root, "movielens-1m", groups="preset")
    assert students(root) == ["general"]
    configure(root, "movielens-1m", profile="full", groups="preset")
    assert "women_under_25" in students(root)


def test_without_being_asked_own_groups_are_never_replaced(own_tables: Path) -> None:
    for profile in (None, "quick", "full"):
        configure(own_tables, "files", profile=profile)
        assert students(own_tables) == [*OWN]
    assert not (own_tables / OWN_GROUPS).exists()


def test_own_groups_that_others_replace_are_kept_for_the_way_back(
    own_tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (own_tables / "params.yaml").read_text()
    configure(own_tables, "files", groups="activity")
    assert students(own_tables) == NAMED
    assert "`decant configure --groups=preset` takes them back" in capsys.readouterr().err
    configure(own_tables, "files", groups="activity")
    configure(own_tables, "files", profile="quick")
    assert students(own_tables) == NAMED
    configure(own_tables, "files", groups="preset")
    assert (own_tables / "params.yaml").read_text() == before
    configure(own_tables, "files", groups="preset")
    assert (own_tables / "params.yaml").read_text() == before


def test_own_groups_survive_others_and_another_source(own_tables: Path) -> None:
    configure(own_tables, "files", groups="activity")
    configure(own_tables, "demo")
    configure(own_tables, "files")
    assert students(own_tables) == NAMED
    configure(own_tables, "demo")
    configure(own_tables, "files", groups="activity")
    configure(own_tables, "files", groups="preset")
    assert (
        load_params(own_tables / "params.yaml").students == parse_params({"students": OWN}).students
    )


def test_own_groups_come_back_from_another_source_as_others_are_named(own_tables: Path) -> None:
    configure(own_tables, "demo")
    configure(own_tables, "files", groups="activity")
    assert students(own_tables) == NAMED
    configure(own_tables, "files", groups="preset")
    assert students(own_tables) == [*OWN]


def test_without_own_groups_the_presets_come_back_and_earlier_own_ones_do_not(
    own_tables: Path,
) -> None:
    configure(own_tables, "files", groups="activity")
    path = own_tables / "params.yaml"
    general = read_preset(own_tables, "files")["settings"]["students"]
    path.write_text(rewrite(path.read_text(), {"students": general}))
    configure(own_tables, "files", groups="activity")
    configure(own_tables, "files", groups="preset")
    assert students(own_tables) == ["general"]


def test_groups_of_another_source_are_not_taken_for_own_ones(root: Path) -> None:
    configure(root, "demo", groups="activity")
    folder = root / "data/raw/files"
    folder.mkdir(parents=True)
    (folder / "events.csv").write_text("user,item\na,1\n")
    configure(root, "files")
    assert students(root) == ["general"]


def test_edited_groups_are_own_ones(root: Path) -> None:
    preset = read_preset(root, "demo")
    named = preset["groups"]["activity"]
    assert groups_set(named, preset) == "activity"
    assert groups_set({**named, "heavy": {**named["heavy"], "priority": 3}}, preset) is None
    written_out = {**named, "general": {"init": "teacher", "labels": "soft", "overrides": {}}}
    assert groups_set(written_out, preset) == "activity"


def test_an_unknown_name_is_one_line_and_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / "params.yaml").read_text()
    for name, hint in (("activitee", "did you mean `activity`?"), ("x", "known: preset, activity")):
        assert main(["configure", "--groups", name]) == MISTAKE
        assert capsys.readouterr().err == f"decant: error: no groups `{name}`; {hint}\n"
    assert (root / "params.yaml").read_text() == before


def test_a_missing_preset_is_named(tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="nowhere.yaml: preset not found"):
        read_preset(tmp_path, "nowhere")
