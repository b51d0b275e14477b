import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from decant.evaluation.evaluate import ALL, ORACLE
from decant.params.load import Params, ParamsError, load_params, parse_params
from decant.params.models import Student
from decant.params.renamed import RENAMED
from decant.params.students import RESERVED
from decant.params.types import GENERAL
from decant.release.checks import SMALL
from decant.report.scores import FAMILY

REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8"))
STUDENTS = {"general": {"init": "teacher"}}

# A new setting is a decision: think twice, then add it here.
TRAINING = (
    "dimension layers heads dropout inputs epochs batch_size learning_rate weight_decay patience "
    "precision device threads processes objective mask_ratio full_softmax_max_items negatives "
    "id_dropout experts successors factors"
)
SETTINGS = {
    "raw": "users items steps missing dirty seed",
    "ingest": "protocol events layout delimiter user item time time_format timezone behaviour "
    "behaviour_default rating users items item_title vectors missing",
    "validate": "max_quarantined max_drop unknown_items min_events min_users min_items",
    "features": "target_behaviours merge_window max_length exclude_seen baskets attributes "
    "attribute_bins impute interest_tags",
    "split": "method validation test cases_per_user",
    "embed": "encoder dimension bert threads",
    "teacher": f"{TRAINING} ensemble soft_weight warm_start",
    "knowledge": "top_k experts states relations",
    "distill": f"{TRAINING} soft_weight rce_kd_weight stratified_weight states_weight "
    "attention_relation_weight relation_heads temperature init_layers init_item_embeddings "
    "cvar_fraction adapter_rank segment_learning_rate segment_epochs l2_sp shrink "
    "background_ratio "
    "max_length prior_weight prior_shrinkage min_users taste_groups",
    "compress": "heads_kept hidden_kept recover_epochs max_loss",
    "evaluate": "k latency_requests resamples",
    "gate": "margin min_deciding_users resamples min_retention min_group_retention min_lift "
    "min_group_lift min_size_ratio min_latency_ratio "
    "max_production_drop",
    "registry": "kind folder bucket prefix endpoint",
    "serve": "load_seconds load_memory_mb max_events max_connections header_seconds body_seconds "
    "idle_seconds shutdown_seconds",
    "schedule": "cron timezone",
    "tune": "stage method trials folds workers epochs space",
}
SINGLE = {"source", "seed", "students"}


def blocks() -> dict[str, type[BaseModel]]:
    """Every block of settings by its name in params.yaml."""
    return {
        field.alias or name: field.annotation
        for name, field in Params.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def problems(given: Any) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        parse_params(given)
    return caught.value.problems


def test_the_settings_are_these_and_no_others() -> None:
    result = {name: set(block.model_fields) for name, block in blocks().items()}
    assert result == {name: set(names.split()) for name, names in SETTINGS.items()}
    others = {f.alias or name for name, f in Params.model_fields.items()} - set(result)
    assert others == SINGLE


def test_the_committed_file_names_every_setting_and_no_other() -> None:
    assert set(COMMITTED) == {*SETTINGS, *SINGLE}
    for name, block in blocks().items():
        assert set(COMMITTED[name]) == set(block.model_fields), name


def test_the_committed_file_is_valid() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert params.source == COMMITTED["source"]
    assert set(params.segments) == set(COMMITTED["students"]) - {GENERAL}
    assert len(params.segments) >= 4


def reads(node: ast.AST) -> str | None:
    """What attribute a piece of code reads, as a pattern: `a.b`, or `getattr(a, f"min_{b}")`."""
    match node:
        case ast.Attribute(attr=name):
            return re.escape(name)
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.JoinedStr(values=parts), *_]):
            return "".join(p.value if isinstance(p, ast.Constant) else r"\w+" for p in parts)
    return None


def test_every_setting_is_read_somewhere() -> None:
    folders = [REPOSITORY / package for package in ("decant", "tasks", "flows")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    trees = [ast.parse(p.read_text("utf-8")) for p in files if p.name != "params.py"]
    read = re.compile("|".join({reads(node) or "0" for tree in trees for node in ast.walk(tree)}))
    models = [*blocks().values(), Student, Params]
    names = {name for model in models for name in model.model_fields}
    assert {name for name in names if not read.fullmatch(name)} == set()
    assert not read.fullmatch("a_setting_that_nobody_reads")


def test_an_empty_file_of_blocks_has_defaults_for_everything() -> None:
    params = parse_params({})
    assert params.students == {GENERAL: Student(init="teacher")}
    assert params.split.method == "time"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"techer": {}}, "unknown key `techer`; did you mean `teacher`?"),
        (
            {"distill": {"soft_weight": 0.7, "rce_kd_weight": 0.4}},
            "distill: soft_weight, rce_kd_weight and stratified_weight are shares of the loss, "
            "with a sum of 1.1: ",
        ),
        (
            {"distill": {"init_layers": [2], "layers": 1}, "teacher": {"layers": 2}},
            "invalid distill.init_layers [2]: expected a layer of the teacher, from 0 to 1, for "
            "each of the student's 1",
        ),
        (
            {"distill": {"init_layers": [0, 1], "layers": 2}, "teacher": {"dimension": 128}},
            "distill.init_layers needs teacher.dimension (128) and distill.dimension (64)",
        ),
        (
            {"distill": {"objective": "masked", "soft_weight": 0.2}},
            "distill.objective masked needs teacher.objective: masked; a teacher with objective ",
        ),
        ({"distill": {"states_weight": 1}}, "distill.states_weight needs knowledge.states: true"),
        (
            {"distill": {"attention_relation_weight": 1}},
            "distill.attention_relation_weight needs knowledge.relations: true",
        ),
        (
            {
                "knowledge": {"relations": True},
                "teacher": {"objective": "masked"},
                "distill": {"attention_relation_weight": 1},
            },
            "distill.attention_relation_weight needs teacher.objective: next",
        ),
        (
            {
                "knowledge": {"relations": True},
                "distill": {"attention_relation_weight": 1, "relation_heads": 3},
            },
            "distill.relation_heads 3 does not divide teacher.dimension 64",
        ),
        ({"validation": {}}, "unknown key `validation`; did you mean `validate`?"),
        ({"teacher": {"epoch": 3}}, "unknown key `teacher.epoch`; did you mean `epochs`?"),
        ({"gate": {"zzz": 3}}, "unknown key `gate.zzz`; known: margin, max_production_drop, "),
        (
            {"students": {**STUDENTS, "w": {"init": "general", "wher": "a == 1"}}},
            "unknown key `students.w.wher`; did you mean `where`?",
        ),
        ({"teacher": {"epochs": "many"}}, "`teacher.epochs`: Input should be a valid integer"),
        ({"teacher": {"epochs": 2.5}}, "`teacher.epochs`: Input should be a valid integer"),
        (
            {"teacher": {"epochs": 0}},
            "`teacher.epochs`: Input should be greater than",
        ),
        (
            {"raw": {"dirty": 0.9}},
            "`raw.dirty`: Input should be less than or equal to",
        ),
        ({"source": "demos"}, "`source`: Input should be 'demo', 'movielens-100k'"),
        ({"teacher": ["epochs"]}, "`teacher`: Input should be a valid dictionary"),
        (
            {"split": {"method": None}},
            "`split.method`: Input should be 'time', 'by-user' or 'leave-one-out'",
        ),
        (
            {"teacher": {"inputs": ["item", "imag"]}},
            "teacher.inputs: no input `imag`; did you mean `image`? inputs: item, text, ",
        ),
        (
            {"ingest": {"vectors": {"text": "text.parquet"}}},
            "`ingest.vectors`: `text` is an input already: rename these vectors",
        ),
        ({"teacher": {"device": "tpu9"}}, "`teacher.device`: Input should be 'auto', 'cpu', 'gpu'"),
        ({"seed": 2**32}, "`seed`: Input should be less than 4294967296"),
        ({"raw": {"seed": -1}}, "`raw.seed`: Input should be greater than or equal to 0"),
        ({"registry": {"folder": " "}}, "`registry.folder`: String should have at least 1 char"),
        (
            {"schedule": {"cron": "banana"}},
            "`schedule.cron`: invalid cron expression `banana` (1 fields): expected five fields",
        ),
        (
            {"schedule": {"cron": "0 24 * * *"}},
            "`schedule.cron`: invalid cron expression `0 24 * * *` (bad hour)",
        ),
        (
            {"schedule": {"timezone": "Europe/Berln"}},
            "`schedule.timezone`: unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
        ),
        ({"schedule": {"timezone": "Mars/X"}}, "`schedule.timezone`: unknown time zone `Mars/X`"),
        ({"schedule": {"timezone": "America"}}, "`schedule.timezone`: unknown time zone `America`"),
        (
            {"schedule": {"timezone": ""}},
            "`schedule.timezone`: unknown time zone ``; time zones: UTC, Europe/Berlin, "
            "America/New_York and ",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(given: Any, problem: str) -> None:
    assert any(result.startswith(problem) for result in problems(given)), problems(given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"teacher": {"dimension": 30, "heads": 4}}, "dimension 30 is not a multiple of heads 4"),
        ({"distill": {"inputs": ["behaviour"]}}, "inputs must contain item"),
        ({"embed": {"encoder": "bert"}}, "embed.bert must name a folder or package"),
        ({"registry": {"kind": "s3"}}, "registry.bucket must be set when registry.kind is s3"),
        ({"students": {}}, "students must contain `general`"),
        ({"students": {"general": {"init": "w"}}}, "students.general is for all users"),
        (
            {"students": {"general": {"init": "teacher", "where": "a == 1"}}},
            "students.general is for all users",
        ),
        (
            {"students": {**STUDENTS, "w": {"init": "generl", "where": "a == 1"}}},
            "students.w.init: no model `generl`; did you mean `general`?",
        ),
        (
            {"students": {**STUDENTS, "my-women": {"init": "general", "where": "a == 1"}}},
            "invalid name students.my-women: expected letters, digits and _",
        ),
        (
            {"students": {**STUDENTS, "teacher": {"init": "general", "where": "a == 1"}}},
            "invalid name students.teacher",
        ),
        (
            {"ingest": {"layout": "sequences", "time": "ts", "rating": "stars"}},
            "`ingest`: layout: sequences holds only items, no time or rating: remove",
        ),
        (
            {"ingest": {"user": "id", "item": "id"}},
            "`ingest`: user and item name the same column `id`",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: Any, problem: str) -> None:
    assert any(problem in result for result in problems(given)), problems(given)


def test_beside_sequences_the_tables_of_users_and_items_may_call_their_ids_the_same() -> None:
    parse_params({"ingest": {"layout": "sequences", "user": "id", "item": "id"}})


def test_all_problems_are_in_one_line() -> None:
    with pytest.raises(ParamsError) as caught:
        parse_params({"techer": 1, "teacher": {"epochs": -1}}, Path("shop/params.yaml"))
    assert len(caught.value.problems) == 2
    assert str(caught.value).startswith("shop/params.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "file not found; run from the project's folder"),
        (b"a: [", "not valid YAML"),
        (b"- a", "expected a mapping of blocks, got list"),
        (b"", "expected a mapping of blocks, got NoneType"),
        ("seed: 1\nsource: café".encode("latin-1"), "line 2 is not UTF-8: save the file as UTF-8"),
        ("seed: 1".encode("utf-16"), "line 1 is not UTF-8: save the file as UTF-8"),
        ("seed: 1".encode("utf-16-le"), "not valid YAML"),
        (b"seed: 1\nraw: {seed: 1}\nseed: 2", "`seed` is given twice, in lines 1 and 3"),
        (b"raw:\n  users: 50\n\n  users: 60", "`users` is given twice, in lines 2 and 4"),
        (b"students: {general: {init: a, init: b}}", "`init` is given twice, in lines 1 and 1"),
        (b"registry: {folder: params.yaml}", "`params.yaml` is a file: name a folder"),
    ],
    ids=range(11),
)
def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParamsError, match=re.escape(problem)) as caught:
        load_params(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_same_key_may_stand_in_several_blocks(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("teacher: &same {epochs: 3}\ndistill:\n  <<: *same\n  layers: 1\n")
    assert load_params(path).distill.epochs == 3


def test_a_registry_may_lie_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert parse_params({"registry": {"folder": "~/shop"}}).registry.folder == "/home/ann/shop"


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 8-18 * * mon-fri", "0 0 1,15 * *"])
def test_a_schedule_is_in_crons_fields(cron: str) -> None:
    schedule = {"cron": cron, "timezone": "Europe/Berlin"}
    assert parse_params({"schedule": schedule}).schedule.cron == cron


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [
        ("load_seconds", [0, -1, 3601, "soon", None], [0.5, 3600]),
        ("load_memory_mb", [0, 255, 1.5, 2**21, "4 GB"], [256, 2**20]),
    ],
)
def test_what_a_release_may_take_to_load_is_bounded(
    name: str, wrong: list[Any], allowed: list[Any]
) -> None:
    for value in wrong:
        assert f"serve.{name}" in problems({"serve": {name: value}})[0]
    for value in allowed:
        assert getattr(parse_params({"serve": {name: value}}).serve, name) == value


def test_how_a_release_is_served_makes_no_stage_stale() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text("utf-8"))["stages"]
    params = [entry for s in stages.values() for entry in s.get("do", s).get("params", [])]
    assert params and not [entry for entry in params if "serve" in str(entry)]


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_params({}).teacher.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_what_is_no_finite_number_is_refused(value: str) -> None:
    with pytest.raises(ParamsError, match=r"gate\.min_lift.*finite"):
        parse_params(yaml.safe_load(f"gate: {{min_lift: {value}}}"))


@pytest.mark.parametrize(
    "text",
    [
        "gate: {margin: yes}",
        "gate: {min_group_lift: no}",
        "teacher: {epochs: true}",
        "distill: {init_layers: [yes]}",
        "students: {general: {init: teacher, overrides: {epochs: yes}}}",
    ],
)
def test_yes_is_not_counted_as_1(text: str) -> None:
    (problem,) = problems(yaml.safe_load(text))
    assert re.search(r"`\S+`: expected a number, got `(yes|no)`", problem)


def test_a_number_of_resamples_that_would_take_an_hour_is_refused() -> None:
    refused = problems({"gate": {"resamples": 1_000_000}, "evaluate": {"resamples": 1_000_000}})
    assert len(refused) == 2 and all("100000" in problem for problem in refused)


@pytest.mark.parametrize(
    ("ingest", "problem"),
    [
        ({"time": "t", "time_format": "dayfirst"}, "did you mean `day-first`"),
        ({"time": "t", "time_format": "%d/%m"}, "does not hold year, month and day"),
        ({"time": "t", "time_format": "%Q"}, "invalid time format `%Q`"),
        ({"time_format": "iso"}, "time_format has no effect without time"),
        ({"timezone": "Berlin"}, "did you mean `Europe/Berlin`"),
        ({"delimiter": "semi"}, "did you mean `semicolon`"),
        ({"delimiter": "::"}, "invalid delimiter `::`: expected one character"),
        ({"delimiter": ""}, "invalid delimiter ``"),
        (
            {"items": {"file": "a.csv", "ids": "x"}},
            "unknown key `ingest.items.ids`; did you mean `id`",
        ),
        ({"users": 3}, "`ingest.users`: "),
        ({"vectors": {"image": {"id": "x"}}}, "`ingest.vectors.image.file`: Field required"),
        ({"missing": [""]}, "`ingest.missing.0`"),
        ({"missing": "NULL"}, "`ingest.missing`"),
    ],
)
def test_a_layout_that_cannot_be_is_explained(ingest: dict[str, Any], problem: str) -> None:
    (message,) = problems({"ingest": ingest})
    assert problem in message


def test_a_table_may_be_named_by_its_file_alone() -> None:
    given = {
        "users": "u.csv",
        "items": {"file": "i.csv", "id": " sku "},
        "vectors": {"image": "v.csv"},
    }
    ingest = parse_params({"ingest": given}).ingest
    assert ingest.users and ingest.users.file == "u.csv" and ingest.users.id is None
    assert ingest.items and (ingest.items.file, ingest.items.id) == ("i.csv", "sku")
    assert ingest.vectors["image"].file == "v.csv"


def test_spellings_of_a_missing_value_may_be_as_yaml_reads_them() -> None:
    given = yaml.safe_load("missing: [NULL, ~, NaN, -999, 0.5]")
    result = parse_params({"ingest": given}).ingest.missing
    assert set(result) == {"NULL", "Null", "null", "NaN", "-999", "0.5"}
    assert {"NULL", "\\N", "NaN", "None"} <= set(parse_params({}).ingest.missing)


def test_an_old_key_names_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "distill.top_share", "distill.epochs")
    monkeypatch.setitem(RENAMED, "learner", "distill")
    assert problems({"distill": {"top_share": 0.3}, "learner": {}, "techer": {}}) == [
        "`distill.top_share` was renamed to `distill.epochs`, `learner` was renamed to `distill`: "
        "`decant configure --upgrade` renames them in params.yaml",
        "unknown key `techer`; did you mean `teacher`?",
    ]
    searched = {"stage": "distill", "folds": 1, "space": {"top_share": {"low": 0.1, "high": 1}}}
    own = {"general": {"init": "teacher", "overrides": {"top_share": 0.3}}}
    assert problems({"students": own}) == [
        "students.general.overrides: `distill.top_share` was renamed to `distill.epochs`: "
        "`decant configure --upgrade` renames them in params.yaml"
    ]
    assert problems({"tune": searched}) == [
        "`tune`: space.top_share: `distill.top_share` was renamed to `distill.epochs`: "
        "`decant configure --upgrade` renames them in params.yaml"
    ]


def test_a_renamed_key_is_gone_and_its_new_name_is_a_setting() -> None:
    assert is_setting("distill.epochs") and not is_setting("distill.epoch")
    assert [key for key in RENAMED if is_setting(key)] == []
    assert [key for key in RENAMED.values() if not is_setting(key)] == []


def is_setting(key: str) -> bool:
    """Whether `block` or `block.key` is known."""
    settings = parse_params({}).model_dump(by_alias=True)
    block, _, name = key.partition(".")
    return block in settings and (not name or name in settings[block])


@pytest.mark.parametrize("name", RESERVED)
def test_no_student_is_called_like_another_thing_in_a_table(name: str) -> None:
    """A group called `all` would stand for everybody in the gate's figures."""
    students = {"general": {"init": "teacher"}, name: {"init": "general", "where": "age > 1"}}
    with pytest.raises(ParamsError, match=rf"invalid name students\.{name}"):
        parse_params({"students": students})
    assert {ALL, SMALL, ORACLE, FAMILY} <= {*RESERVED}
