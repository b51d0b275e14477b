"""Settings that had another name in an earlier version."""

from collections.abc import Mapping
from typing import Any

_TRAINING = {"mask_share": "mask_ratio", "full_softmax": "full_softmax_max_items"}
_TEACHER = {**_TRAINING, "init_from": "warm_start"}
_DISTILL = {
    **_TRAINING,
    "list_weight": "rce_kd_weight",
    "strata_weight": "stratified_weight",
    "hidden_weight": "states_weight",
    "relations_weight": "attention_relation_weight",
    "start_layers": "init_layers",
    "start_items": "init_item_embeddings",
    "worst": "cvar_fraction",
    "anchor": "l2_sp",
    "others": "background_ratio",
}
RENAMED: dict[str, str] = {  # "block.old" -> "block.new"
    **{f"teacher.{old}": f"teacher.{new}" for old, new in _TEACHER.items()},
    **{f"distill.{old}": f"distill.{new}" for old, new in _DISTILL.items()},
}


def rename_hint(key: str) -> str | None:
    """A hint at the new key of a renamed setting, None for other keys."""
    return f"`{key}` was renamed to `{RENAMED[key]}`" if key in RENAMED else None


def current_name(key: str) -> str:
    """The current key of a setting; the key itself if it was never renamed.

    Keys in `students.NAME.overrides` are those of `distill`.
    """
    head, _, last = key.rpartition(".")
    if head.startswith("students.") and head.endswith(".overrides"):
        return f"{head}.{_DISTILL.get(last, last)}"
    return RENAMED.get(key, key)


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, under their current names."""
    return {current_name(key): value for key, value in settings.items()}
