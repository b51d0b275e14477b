"""Settings without effect are told by name and reason, and only those."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from decant.params.conditions import DEFAULTS
from decant.params.data import Ingest, Raw
from decant.params.effects import (
    ALWAYS,
    TABLE,
    effective,
    last_catalogue,
    preset_values,
    warnings,
    warnings_in,
    without_effect,
)
from decant.params.load import Params, parse_params
from decant.params.types import SOURCES
from decant.training.loop import is_over
from decant.training.state import Report

REPOSITORY = Path(__file__).resolve().parents[3]
Settings = dict[str, Any]
FILES = {"source": "files"}
WOMEN = {
    "students": {
        "general": {"init": "teacher"},
        "women": {"init": "general", "where": "gender == 'F'"},
    }
}
S3 = {"registry": {"kind": "s3", "bucket": "b"}}
VECTORS = {"image": {"file": "image.csv", "id": "sku"}}
SEQUENCES = {"layout": "sequences"}
LEAVE_ONE_OUT = {"split": {"method": "leave-one-out"}}
SHORT = {"epochs": 2, "segment_epochs": 2}
LARGE = 100_000  # items, more than `full_softmax_max_items` by default
OTHER: Settings = {  # another value than the default
    "raw": {"users": 50, "items": 50, "steps": 5, "missing": 0.5, "dirty": 0.5, "seed": 9},
    "ingest": {
        "events": "log.csv", **SEQUENCES, "delimiter": "tab", "user": "u", "item": "i",
        "behaviour_default": "view", "users": {"file": "u.csv"}, "items": {"file": "i.csv"},
        "item_title": "name", "vectors": VECTORS, "missing": ["?"],
    },
}  # fmt: skip
TIMED = {"time": "t", "time_format": "iso", "timezone": "Europe/Berlin"}
# setting → settings with which it has no effect, and what is changed so that it has one
CASES: dict[str, list[tuple[Settings, Settings]]] = {
    **{
        f"raw.{n}": [({**FILES, "raw": {n: v}}, {"source": "demo"})]
        for n, v in OTHER["raw"].items()
    },
    **{f"ingest.{n}": [({"ingest": {n: v}}, FILES)] for n, v in OTHER["ingest"].items()},
    **{f"ingest.{n}": [({"ingest": TIMED}, FILES)] for n in TIMED},
    **{f"ingest.{n}": [({"ingest": {n: "b"}}, FILES)] for n in ("behaviour", "rating")},
    "ingest.protocol": [({"ingest": {"protocol": "p1"}}, {"source": "movielens-1m"})],
    "ingest.delimiter": [
        ({"ingest": {"delimiter": "tab"}}, FILES),
        ({**FILES, "ingest": {**SEQUENCES, "delimiter": "tab"}}, {"ingest": {"users": "u.csv"}}),
        ({**FILES, "ingest": {**SEQUENCES, "delimiter": "tab"}}, {"ingest": {"vectors": VECTORS}}),
    ],
    "ingest.item": [
        ({"ingest": {"item": "i"}}, FILES),
        ({**FILES, "ingest": {**SEQUENCES, "item": "i"}}, {"ingest": {"items": "i.csv"}}),
        ({**FILES, "ingest": {**SEQUENCES, "item": "i", "vectors": VECTORS}},
         {"ingest": {"vectors": {"image": "image.csv"}}}),
    ],
    "ingest.timezone": [
        ({"ingest": TIMED}, FILES),
        ({**FILES, "ingest": {"timezone": "Europe/Berlin"}}, {"ingest": {"time": "t"}}),
    ],
    "ingest.behaviour_default": [
        ({"ingest": {"behaviour_default": "view"}}, FILES),
        ({**FILES, "ingest": {"behaviour_default": "view", "behaviour": "b"}},
         {"ingest": {"behaviour": None}}),
    ],
    "ingest.item_title": [
        ({"ingest": {"item_title": "name", "items": "i.csv"}}, FILES),
        ({**FILES, "ingest": {"item_title": "name"}}, {"ingest": {"items": "i.csv"}}),
        ({**FILES, "ingest": {"item_title": "name", "items": {"file": "i.csv", "title": "t"}}},
         {"ingest": {"items": "i.csv"}}),
    ],
    "validate.unknown_items": [
        ({"validate": {"unknown_items": "keep"}, "ingest": {"items": "i.csv"}}, FILES),
        ({**FILES, "validate": {"unknown_items": "keep"}}, {"ingest": {"items": "i.csv"}}),
    ],
    "features.baskets": [
        ({**FILES, "features": {"baskets": True}}, {"ingest": {"time": "t"}}),
    ],
    **{
        f"{block}.{name}": [({block: {name: 3}}, {block: {"experts": ["basket"]}})]
        for block in ("teacher", "distill") for name in ("successors", "factors")
    },
    "features.merge_window": [
        ({**FILES, "features": {"merge_window": 9}}, {"ingest": {"time": "t"}}),
        ({**FILES, "features": {"merge_window": 9}}, {"source": "movielens-1m"}),
    ],
    "features.attribute_bins": [
        ({"features": {"attribute_bins": 9}}, {"features": {"attributes": ["age"]}})
    ],
    **{
        f"split.{name}": [({"split": {**LEAVE_ONE_OUT["split"], name: value}},
                           {"split": {"method": "time"}})]
        for name, value in (("validation", 0.2), ("test", 0.2), ("cases_per_user", 1))
    },
    "embed.dimension": [
        ({"embed": {"dimension": 9, "encoder": "none"}}, {"embed": {"encoder": "hashed"}}),
        ({"embed": {"dimension": 9, "encoder": "bert", "bert": "b"}},
         {"embed": {"encoder": "hashed"}}),
    ],
    "embed.bert": [({"embed": {"bert": "b"}}, {"embed": {"encoder": "bert"}})],
    "embed.threads": [
        ({"embed": {"threads": 9, "bert": "b"}}, {"embed": {"encoder": "bert"}})
    ],
    "teacher.soft_weight": [({"teacher": {"soft_weight": 0.1}}, {"teacher": {"ensemble": 1}})],
    "teacher.patience": [
        ({"teacher": {"patience": 9, "epochs": 4}}, {"teacher": {"epochs": 5}}),
        ({"teacher": {"patience": 2, "epochs": 3}}, {"teacher": {"epochs": 4}}),
    ],
    "knowledge.top_k": [
        ({"knowledge": {"top_k": 9}, "distill": {"soft_weight": 0}}, {"distill": {name: 0.1}})
        for name in ("soft_weight", "rce_kd_weight", "stratified_weight")
    ],
    "knowledge.experts": [
        ({"knowledge": {"experts": False}, "teacher": {"experts": []}},
         {"teacher": {"experts": ["chain"]}}),
        ({"knowledge": {"experts": False}, "teacher": {"experts": ["chain"]},
          "distill": {"soft_weight": 0}}, {"distill": {"soft_weight": 0.1}}),
    ],
    "knowledge.states": [({"knowledge": {"states": True}}, {"distill": {"states_weight": 0.1}})],
    "knowledge.relations": [
        ({"knowledge": {"relations": True}}, {"distill": {"attention_relation_weight": 0.1}})
    ],
    "distill.patience": [
        ({"distill": {"patience": 9, "epochs": 2}, "compress": {"recover_epochs": 1}}, change)
        for change in (
            {"distill": {"epochs": 5}}, WOMEN, {"compress": {"recover_epochs": 4}},
        )
    ],
    "distill.relation_heads": [
        ({"distill": {"relation_heads": 2}, "knowledge": {"relations": True}},
         {"distill": {"attention_relation_weight": 0.1}})
    ],
    "distill.temperature": [
        ({"distill": {"temperature": 2, "soft_weight": 0}}, {"distill": {"soft_weight": 0.1}}),
        ({"distill": {"temperature": 2, "soft_weight": 0, "rce_kd_weight": 0.7}},
         {"raw": {"items": LARGE}}),
        ({**FILES, "distill": {"temperature": 2, "soft_weight": 0}},
         {"distill": {"rce_kd_weight": 0.7}}),
    ],
    "distill.segment_learning_rate": [
        ({"distill": {"segment_learning_rate": 0.1}, "compress": {"recover_epochs": 0}}, change)
        for change in (WOMEN, {"compress": {"recover_epochs": 1}})
    ] + [
        ({"distill": {"segment_learning_rate": 0.1}, "compress": {"hidden_kept": 1}}, change)
        for change in (WOMEN, {"compress": {"hidden_kept": 0.9}})
    ],
    **{
        f"distill.{name}": [({"distill": {name: value}}, WOMEN)]
        for name, value in (
            ("adapter_rank", 2), ("segment_epochs", 9), ("l2_sp", 1), ("shrink", True),
            ("background_ratio", 1),
            ("min_users", 9), ("prior_weight", 1),
        )
    },
    "distill.taste_groups": [
        ({"distill": {"taste_groups": 3}, "students": {
            "general": {"init": "teacher"}, "a": {"init": "general", "where": "tastes == 1"}}},
         {"students": {"general": {"init": "teacher"},
                       "a": {"init": "general", "where": "age < 3 or taste == 1"}}}),
    ],
    **{
        f"{block}.mask_ratio": [({block: {"mask_ratio": 0.1}},
                                 {b: {"objective": "masked"} for b in ("teacher", "distill")})]
        for block in ("teacher", "distill")
    },
    **{
        f"{block}.{name}": [({block: {name: 1000}}, {"raw": {"items": LARGE}})]
        for block in ("teacher", "distill") for name in ("full_softmax_max_items", "negatives")
    },
    "distill.prior_shrinkage": [
        ({"distill": {"prior_shrinkage": 9}}, {"distill": {"prior_weight": 1}})
    ],
    "compress.recover_epochs": [
        ({"compress": {"recover_epochs": 9, "hidden_kept": 1}}, {"compress": {name: 0.9}})
        for name in ("heads_kept", "hidden_kept")
    ],
    **{
        f"gate.{name}": [({"gate": {name: value}}, WOMEN)]
        for name, value in (("margin", 0.1),)
    },
    "registry.folder": [
        ({"registry": {**S3["registry"], "folder": "f"}}, {"registry": {"kind": "local"}})
    ],
    **{
        f"registry.{name}": [({"registry": {name: "x"}}, S3)] for name in ("prefix", "endpoint")
    },
    "registry.bucket": [({"registry": {"bucket": "x"}}, {"registry": {"kind": "s3"}})],
    **{
        f"tune.{name}": [({"tune": {"folds": 1, name: value}},
                          {"tune": {"space": {"layers": {"choices": [1, 2]}}}})]
        for name, value in (
            ("stage", "distill"), ("method", "grid"), ("trials", 9), ("folds", 3), ("workers", 2),
            ("epochs", 2),
        )
    },
}  # fmt: skip
BY_DATA = {"distill.cvar_fraction"}  # what only the data tells has tests of its own


def merged(settings: Settings, change: Settings) -> Settings:
    """Settings with some changed."""
    both = {**settings, **change}
    for block, values in change.items():
        if isinstance(settings.get(block), dict) and block != "students":
            both[block] = {**settings[block], **values}
    return both


def every_setting() -> set[str]:
    """Each setting by its dotted name; `students`, a mapping, is one."""
    names = set()
    for name, field in Params.model_fields.items():
        kind, block = field.annotation, field.alias or name
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= {f"{block}.{setting}" for setting in kind.model_fields}
        else:
            names.add(block)
    return names


def test_of_every_setting_it_is_known_whether_it_always_has_an_effect() -> None:
    assert set(TABLE) | ALWAYS == every_setting()
    assert set(TABLE) & ALWAYS == set()


def test_every_condition_has_a_case() -> None:
    assert set(CASES) | BY_DATA == set(TABLE)
    assert set(OTHER["raw"]) == set(Raw.model_fields)
    assert {*OTHER["ingest"], *TIMED, "behaviour", "rating", "protocol"} == set(Ingest.model_fields)


@pytest.mark.parametrize(
    ("key", "settings", "change"),
    [(key, *case) for key, cases in CASES.items() for case in cases],
)
def test_it_is_told_where_it_has_no_effect_and_not_where_it_has_one(
    key: str, settings: Settings, change: Settings
) -> None:
    assert without_effect(parse_params(settings)).get(key)
    assert key not in without_effect(parse_params(merged(settings, change)))


@pytest.mark.parametrize(
    ("key", "settings"), [(key, settings) for key, cases in CASES.items() for settings, _ in cases]
)
def test_it_counts_as_if_it_had_its_default(key: str, settings: Settings) -> None:
    params = parse_params(settings)
    block, name = key.split(".")
    counted = effective(params)
    assert counted[block][name] == DEFAULTS[block][name]
    assert counted == effective(Params.model_validate(counted))


def test_a_setting_with_an_effect_counts_as_it_is() -> None:
    params = parse_params({"distill": {"temperature": 2}, "seed": 3})
    assert effective(params) == params.model_dump(mode="json", by_alias=True)


def test_a_default_is_never_told() -> None:
    assert without_effect(parse_params({"ingest": {"user": "user"}, "source": "files"})) == {}


def test_a_line_names_the_setting_and_the_reason() -> None:
    params = parse_params({"distill": {"temperature": 2, "soft_weight": 0}})
    assert warnings(params) == [
        "`distill.temperature` has no effect: only the soft-label loss reads it, and "
        "`distill.soft_weight` is 0"
    ]


def test_settings_with_one_reason_share_a_line() -> None:
    params = parse_params({"source": "files", "raw": {"users": 99, "items": 99}})
    assert warnings(params) == [
        "`raw.users`, `raw.items` have no effect: `source` is `files`, not `demo`"
    ]


@pytest.mark.parametrize("key", ["teacher.negatives", "distill.full_softmax_max_items"])
def test_whether_a_catalogue_is_sampled_only_its_size_tells(key: str) -> None:
    block, name = key.split(".")
    params = parse_params({"source": "files", block: {name: 900}})
    assert key not in without_effect(params)
    assert key in without_effect(params, items=900)
    assert key not in without_effect(params, items=LARGE)


def test_a_softmax_over_the_whole_catalogue_is_none_if_the_setting_is_lower() -> None:
    params = parse_params({"source": "files", "teacher": {"full_softmax_max_items": 900}})
    assert "teacher.full_softmax_max_items" not in without_effect(params, items=901)
    params = parse_params({"source": "files", "teacher": {"full_softmax_max_items": 2 * LARGE}})
    assert "teacher.full_softmax_max_items" not in without_effect(params, items=LARGE)


def test_of_a_sampled_catalogue_the_list_is_soft_labels_and_no_sequence_is_the_worst() -> None:
    settings = {"temperature": 2, "soft_weight": 0, "rce_kd_weight": 0.7, "cvar_fraction": 0.5}
    params = parse_params({"source": "files", "distill": settings})
    assert without_effect(params) == {}
    assert set(without_effect(params, items=900)) == {"distill.temperature"}
    assert set(without_effect(params, items=LARGE)) == {"distill.cvar_fraction"}


def ends_early(epochs: int, patience: int, *, trained_on: bool) -> bool:
    """Whether a training that never gets better ends before its last epoch."""
    report = Report(start_ndcg=1.0 if trained_on else None)
    while not is_over(report, epochs, patience):
        report.losses.append(1.0)
        report.best_epoch = -1 if trained_on else 0
    return len(report.losses) < epochs


@pytest.mark.parametrize("epochs", range(1, 7))
def test_patience_is_told_exactly_where_no_training_is_ended_by_it(epochs: int) -> None:
    for patience in (1, 2, 4, 5, 9):  # the default is 3
        lengths = {"epochs": epochs, "patience": patience}
        early = [ends_early(epochs, p, trained_on=False) for p in (patience, 3)]
        message = without_effect(parse_params({"teacher": lengths}))
        assert ("teacher.patience" in message) is not any(early)
        settings = {"distill": {"epochs": 1, "patience": patience, "segment_epochs": epochs}}
        early = [ends_early(epochs, p, trained_on=True) for p in (patience, 3)]
        message = without_effect(
            parse_params({**settings, **WOMEN, "compress": {"recover_epochs": 0}})
        )
        assert ("distill.patience" in message) is not any(early)


def configured(source: str, *overlays: str) -> Params:
    """The committed settings, set up for a source."""
    settings = yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8"))
    preset = yaml.safe_load((REPOSITORY / "presets" / f"{source}.yaml").read_text("utf-8"))
    parts = {"without_users": preset["without_users"], **preset["profiles"]}
    for change in (preset["settings"], *(parts[overlay] for overlay in overlays)):
        settings = merged(settings, change)
    return parse_params({**settings, "source": source})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("overlays", [("quick",), ("full",), ("full", "without_users")])
@pytest.mark.parametrize("items", [None, 3000, LARGE])
def test_presets_as_they_come_are_not_complained_about(
    source: str, overlays: tuple[str, ...], items: int | None
) -> None:
    usual = preset_values(REPOSITORY / "presets" / f"{source}.yaml")
    assert warnings(configured(source, *overlays), usual, items) == []


def test_the_committed_settings_all_have_an_effect_or_their_default() -> None:
    params = parse_params(yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8")))
    assert without_effect(params) == {}
    assert effective(params) == params.model_dump(mode="json", by_alias=True)


def test_another_value_than_the_presets_is_told(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    preset = REPOSITORY / "presets" / "files.yaml"
    (tmp_path / "presets" / "files.yaml").write_bytes(preset.read_bytes())
    params = configured("files", "quick")
    assert warnings_in(tmp_path, params) == []
    own = params.model_copy(
        update={"distill": params.distill.model_copy(update={"segment_epochs": 5})}
    )
    (line,) = warnings_in(tmp_path, own)
    assert line.startswith("`distill.segment_epochs` has no effect: `students` has only general")


@pytest.mark.parametrize("content", ["", "a: [", "- 1", "settings: 3", "\udcff"])
def test_a_preset_that_cannot_be_read_sets_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "demo.yaml"
    assert preset_values(path) == {}
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert preset_values(path) == {}


def summaries(root: Path, source: str, items: Any) -> None:
    for stage, summary in (("ingested", {"source": source}), ("features", {"items": items})):
        (root / "data" / stage).mkdir(parents=True)
        (root / "data" / stage / "summary.json").write_text(json.dumps(summary))


def test_the_catalogue_of_the_last_run_is_known(tmp_path: Path) -> None:
    params = parse_params({"source": "files", "teacher": {"negatives": 9}})
    assert warnings_in(tmp_path, params) == []
    summaries(tmp_path, "files", 900)
    (line,) = warnings_in(tmp_path, params)
    assert line.endswith(
        "`teacher.full_softmax_max_items` (50,000) items is not sampled, and this one has 900"
    )


@pytest.mark.parametrize(("source", "items"), [("demo", 900), ("files", "?"), ("files", None)])
def test_another_sources_catalogue_or_a_damaged_summary_tells_nothing(
    tmp_path: Path, source: str, items: Any
) -> None:
    summaries(tmp_path, source, items)
    assert last_catalogue(tmp_path / "data", "files") is None
