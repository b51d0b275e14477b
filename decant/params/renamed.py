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


COMMAND = "`decant configure --upgrade` renames them in params.yaml"


def rename_hint(key: str) -> str | None:
    """Name the new key of a setting that was renamed; None for any other key."""
    return f"`{key}` was renamed to `{RENAMED[key]}`" if key in RENAMED else None


def current_name(key: str, searched: str = "teacher") -> str:
    """The current name of a setting of any version; the key itself if it was never renamed.

    A student's own settings, `students.NAME.overrides.KEY`, are named like those of `distill`,
    and those of `tune.space` like those of the block `searched`.
    """
    head, _, last = key.rpartition(".")
    if head.startswith("students.") and head.endswith(".overrides"):
        return f"{head}.{_DISTILL.get(last, last)}"
    if head == "tune.space":
        new = RENAMED.get(f"{searched}.{last}", last)
        return f"{head}.{new.rpartition('.')[2]}"
    return RENAMED.get(key, key)


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, with their current names."""
    return {current_name(key): value for key, value in settings.items()}
