"""Settings without effect: the condition of each setting that is not always read.

A setting has no effect if its default would give the same run. A setting that only limits (a
threshold of the gate, a share of quarantined rows) has an effect, reached or not.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from decant.params import conditions as when
from decant.params.conditions import DEFAULTS, Case, Condition
from decant.params.data import Ingest, Raw
from decant.params.load import Params
from decant.params.types import MOVIELENS_1M, OWN

Values = Mapping[str, Sequence[Any]]  # by setting


def _keys(block: str, names: Iterable[str]) -> list[str]:
    return [f"{block}.{name}" for name in names]


_OWN_TABLES = when.only("source", OWN)
_TIME = when.needs("ingest.time", "there is no time column")
_ITEMS = when.needs("ingest.items", "there is no table of items")
_SEARCH = when.needs("tune.space", "nothing is searched")
_STATES = when.needs("distill.states_weight", "no loss compares states")
_RELATIONS = when.needs("distill.attention_relation_weight", "no loss compares relations")

TABLE: dict[str, Condition] = {
    **dict.fromkeys(_keys("raw", Raw.model_fields), when.only("source", "demo")),
    **dict.fromkeys(_keys("ingest", Ingest.model_fields), _OWN_TABLES),
    "ingest.protocol": when.only("source", MOVIELENS_1M),
    "ingest.delimiter": when.either(_OWN_TABLES, when.no_delimited_table),
    "ingest.item": when.either(_OWN_TABLES, when.no_column_of_items),
    "ingest.timezone": when.either(_OWN_TABLES, _TIME),
    "ingest.behaviour_default": when.either(_OWN_TABLES, when.behaviour_has_a_column),
    "ingest.item_title": when.either(_OWN_TABLES, _ITEMS, when.titles_have_a_column),
    "validate.unknown_items": when.either(_OWN_TABLES, _ITEMS),
    "features.merge_window": when.no_clock,
    "features.baskets": when.no_clock,
    "features.attribute_bins": when.needs("features.attributes", "nothing is binned"),
    "split.validation": when.no_shares,
    "split.test": when.no_shares,
    "split.cases_per_user": when.one_event_in_each_window,
    "embed.dimension": when.only("embed.encoder", "hashed"),
    "embed.bert": when.only("embed.encoder", "bert"),
    "embed.threads": when.only("embed.encoder", "bert"),
    "teacher.mask_ratio": when.only("teacher.objective", "masked"),
    "teacher.full_softmax_max_items": when.default_fits_too("teacher"),
    "teacher.negatives": when.catalogue_fits("teacher"),
    "teacher.successors": when.no_tables("teacher"),
    "teacher.factors": when.no_tables("teacher"),
    "teacher.patience": when.epochs_end_first("teacher"),
    "teacher.soft_weight": when.needs(
        "teacher.ensemble", "the teacher has no ensemble to learn from"
    ),
    "knowledge.top_k": when.no_labels,
    "knowledge.experts": when.either(
        when.no_labels, when.needs("teacher.experts", "the teacher has no experts")
    ),
    "knowledge.states": _STATES,
    "knowledge.relations": _RELATIONS,
    "distill.mask_ratio": when.only("distill.objective", "masked"),
    "distill.full_softmax_max_items": when.default_fits_too("distill"),
    "distill.negatives": when.catalogue_fits("distill"),
    "distill.successors": when.no_tables("distill"),
    "distill.factors": when.no_tables("distill"),
    "distill.patience": when.epochs_end_first("distill"),
    "distill.relation_heads": _RELATIONS,
    "distill.temperature": when.no_soft_labels,
    "distill.cvar_fraction": when.catalogue_is_sampled,
    "distill.adapter_rank": when.no_segments,
    "distill.segment_learning_rate": when.nothing_is_trained_on,
    "distill.segment_epochs": when.no_segments,
    "distill.l2_sp": when.no_segments,
    "distill.shrink": when.no_segments,
    "distill.background_ratio": when.no_segments,
    "distill.min_users": when.no_segments,
    "distill.taste_groups": when.no_rule_reads_taste,
    "distill.prior_weight": when.no_segments,
    "distill.prior_shrinkage": when.needs("distill.prior_weight", "no prior is added"),
    "compress.recover_epochs": when.nothing_is_pruned,
    "gate.margin": when.no_segments,
    "registry.folder": when.only("registry.kind", "local"),
    "registry.bucket": when.only("registry.kind", "s3"),
    "registry.prefix": when.only("registry.kind", "s3"),
    "registry.endpoint": when.only("registry.kind", "s3"),
    "tune.stage": _SEARCH,
    "tune.method": _SEARCH,
    "tune.trials": _SEARCH,
    "tune.folds": _SEARCH,
    "tune.workers": _SEARCH,
    "tune.epochs": _SEARCH,
}
_TRAINING = (
    "dimension layers heads dropout inputs objective epochs batch_size learning_rate weight_decay "
    "precision device threads processes id_dropout experts"
)
_READ = {  # block → settings that always have an effect
    "validate": "max_quarantined max_drop min_events min_users min_items",
    "features": "target_behaviours max_length exclude_seen attributes impute interest_tags",
    "split": "method",
    "embed": "encoder",
    "teacher": f"{_TRAINING} ensemble warm_start",
    "distill": f"{_TRAINING} soft_weight rce_kd_weight stratified_weight states_weight "
    "attention_relation_weight init_layers init_item_embeddings max_length",
    "compress": "heads_kept hidden_kept max_loss",
    "evaluate": "k latency_requests resamples",
    "gate": "resamples min_deciding_users min_retention min_group_retention min_lift "
    "min_group_lift min_size_ratio min_latency_ratio max_production_drop",
    "registry": "kind",
    "serve": "load_seconds load_memory_mb max_events max_connections header_seconds body_seconds "
    "idle_seconds shutdown_seconds",
    "schedule": "cron timezone",
    "tune": "space",
}
ALWAYS = frozenset(
    ["source", "seed", "students"]
    + [key for block, names in _READ.items() for key in _keys(block, names.split())]
)


def without_effect(params: Params, items: int | None = None) -> dict[str, str]:
    """Settings that differ from their default without effect → the reason.

    Args:
        items: size of the catalogue; None: unknown, settings that depend on it are left out.
    """
    values = params.model_dump(mode="json", by_alias=True)
    cases = [Case(settings, items) for settings in _of_each_student(params)]
    reasons = {}
    for key, condition in TABLE.items():
        if _value(values, key) != _value(DEFAULTS, key):
            by_student = [condition(case) for case in cases]
            if by_student[0] is not None and None not in by_student:
                reasons[key] = by_student[0]
    return reasons


def _of_each_student(params: Params) -> list[Params]:
    """The settings of general, and of each student with overrides."""
    overridden = [name for name, student in params.students.items() if student.overrides]
    return [
        params,
        *(params.model_copy(update={"distill": params.settings_of(name)}) for name in overridden),
    ]


def effective(params: Params) -> dict[str, Any]:
    """All settings by block, with defaults for those without effect."""
    values = params.model_dump(mode="json", by_alias=True)
    for key in without_effect(params):
        block, name = key.split(".")
        values[block][name] = DEFAULTS[block][name]
    return values


def warnings(params: Params, usual: Values | None = None, items: int | None = None) -> list[str]:
    """Warnings about settings without effect, a line per reason.

    Args:
        usual: values set by presets, which are not reported.
        items: see `without_effect`.
    """
    values = params.model_dump(mode="json", by_alias=True)
    named: dict[str, list[str]] = {}
    for key, reason in without_effect(params, items).items():
        if _value(values, key) not in (usual or {}).get(key, ()):
            named.setdefault(reason, []).append(f"`{key}`")
    return [
        f"{', '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect: {reason}"
        for reason, keys in named.items()
    ]


def warnings_in(root: Path, params: Params) -> list[str]:
    """`warnings` for a project folder, with its presets and the catalogue of its last run."""
    usual = preset_values(root / "presets" / f"{params.source}.yaml")
    return warnings(params, usual, last_catalogue(root / "data", params.source))


def preset_values(path: Path) -> Values:
    """All values set by a preset, its profiles and its overlay; empty if it cannot be read."""
    try:
        preset = yaml.safe_load(path.read_text(encoding="utf-8"))
        parts = [preset["settings"], *preset["profiles"].values(), preset["without_users"]]
        settings = [part for part in parts if part]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return {}
    values: dict[str, list[Any]] = {}
    for block, named in (entry for part in settings for entry in part.items()):
        for name, value in named.items():
            values.setdefault(f"{block}.{name}", []).append(value)
    return values


def last_catalogue(data: Path, source: str) -> int | None:
    """Catalogue size of the last run of this source, None without one."""
    try:
        ingested, features = (
            json.loads((data / stage / "summary.json").read_text(encoding="utf-8"))
            for stage in ("ingested", "features")
        )
        return int(features["items"]) if ingested["source"] == source else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _value(values: Mapping[str, Any], key: str) -> Any:
    block, name = key.split(".")
    return values[block][name]
