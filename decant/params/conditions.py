"""Conditions under which a setting has no effect; the table is in `effects`.

A condition takes a case and returns the reason, or None if the setting has an effect. Reasons
complete the sentence "`block.name` has no effect: ".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from decant.features.segments import TASTE
from decant.params.load import Params
from decant.params.types import OWN, TABLES

DEFAULTS: dict[str, Any] = Params().model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Case:
    """A configuration; `items`: size of the catalogue, None if unknown."""

    params: Params
    items: int | None = None

    def value(self, key: str) -> Any:
        """A setting by its dotted name."""
        value: Any = self.params
        for part in key.split("."):
            value = getattr(value, part)
        return value


Condition = Callable[[Case], str | None]


def only(key: str, needed: str) -> Condition:
    """No effect unless the setting `key` has the value `needed`."""

    def reason(case: Case) -> str | None:
        value = case.value(key)
        return None if value == needed else f"`{key}` is `{value}`, not `{needed}`"

    return reason


def needs(key: str, consequence: str) -> Condition:
    """No effect if the setting `key` is 0, null or empty; `consequence` completes the reason."""

    def reason(case: Case) -> str | None:
        value = case.value(key)
        if value:
            return None
        shown = "null" if value is None else "empty" if isinstance(value, list | dict) else "0"
        return f"`{key}` is {shown}, so {consequence}"

    return reason


def either(*conditions: Condition) -> Condition:
    """No effect if one of several conditions holds; gives the reason of the first."""
    return lambda case: next((why for c in conditions if (why := c(case)) is not None), None)


def no_delimited_table(case: Case) -> str | None:
    ingest = case.params.ingest
    if ingest.layout == "table" or ingest.users or ingest.items or ingest.vectors:
        return None
    return "`ingest.layout: sequences` is split at blanks and commas, and no other table is set"


def no_column_of_items(case: Case) -> str | None:
    ingest = case.params.ingest
    others = [*([ingest.items] if ingest.items else []), *ingest.vectors.values()]
    if ingest.layout == "table" or any(table.id is None for table in others):
        return None
    return "`ingest.layout: sequences` has no columns, and every other table names its own"


def behaviour_has_a_column(case: Case) -> str | None:
    column = case.params.ingest.behaviour
    if column is None:
        return None
    return f"the column `{column}` holds the behaviours, see `ingest.behaviour`"


def titles_have_a_column(case: Case) -> str | None:
    items = case.params.ingest.items
    return "`ingest.items` names the title column" if items and items.title else None


def no_clock(case: Case) -> str | None:
    if case.params.source != OWN or case.params.ingest.time is not None:
        return None
    return "`ingest.time` is null, so the time between events is unknown"


def no_shares(case: Case) -> str | None:
    if case.params.split.method != "leave-one-out":
        return None
    return "with `split.method: leave-one-out` each window is one event of a user"


def one_event_in_each_window(case: Case) -> str | None:
    if case.params.split.method != "leave-one-out":
        return None
    return "with `split.method: leave-one-out` a user has one event in each window"


def catalogue_fits(block: str) -> Condition:
    """No effect if the catalogue is known to have at most `full_softmax_max_items` items."""

    def reason(case: Case) -> str | None:
        items, most = _most_items(case), case.value(f"{block}.full_softmax_max_items")
        if items is None or items > most:
            return None
        return (
            f"a catalogue of at most `{block}.full_softmax_max_items` ({most:,}) items is not "
            f"sampled, and this one has {items:,}"
        )

    return reason


def default_fits_too(block: str) -> Condition:
    """As `catalogue_fits`, if the default of `full_softmax_max_items` suffices too."""
    default = DEFAULTS[block]["full_softmax_max_items"]

    def reason(case: Case) -> str | None:
        items = _most_items(case)
        return None if items is None or items > default else catalogue_fits(block)(case)

    return reason


def _most_items(case: Case) -> int | None:
    """Upper bound of the catalogue's size; for the demo shop it is a setting."""
    return case.params.raw.items if case.params.source == "demo" else case.items


def catalogue_is_sampled(case: Case) -> str | None:
    most = case.params.distill.full_softmax_max_items
    if case.items is None or case.items <= most:
        return None
    return (
        f"a catalogue of more than `distill.full_softmax_max_items` ({most:,}) items is sampled: "
        f"the sequences with the highest loss are unknown; this one has {case.items:,}"
    )


def no_soft_labels(case: Case) -> str | None:
    settings = case.params.distill
    # with sampling, the list-wise loss falls back to the soft-label loss
    if settings.soft_weight or (settings.rce_kd_weight and not catalogue_fits("distill")(case)):
        return None
    return "only the soft-label loss reads it, and `distill.soft_weight` is 0"


def no_labels(case: Case) -> str | None:
    settings = case.params.distill
    if settings.soft_weight or settings.rce_kd_weight or settings.stratified_weight:
        return None
    names = "`distill.soft_weight`, `rce_kd_weight` and `stratified_weight`"
    return f"{names} are 0, so no loss reads the teacher's labels"


def no_tables(block: str) -> Condition:
    """No effect if no expert of this block is a table of successors."""

    def reason(case: Case) -> str | None:
        if {*TABLES} & {*case.value(f"{block}.experts")}:
            return None
        return f"`{block}.experts` has no table ({', '.join(TABLES)})"

    return reason


def epochs_end_first(block: str) -> Condition:
    """No effect if `patience` and its default are too long to stop a training of this block."""
    default = DEFAULTS[block]["patience"]

    def reason(case: Case) -> str | None:
        patience = min(case.value(f"{block}.patience"), default)
        if patience < _patience_that_is_too_long(case.params, block):
            return None
        return f"every training of {block} completes its epochs first"

    return reason


def _patience_that_is_too_long(params: Params, block: str) -> int:
    """The shortest patience that never stops a training early.

    The first epoch of a new model is its best so far; a fine-tuned model may be best before its
    first epoch.
    """
    if block == "teacher":
        return params.teacher.epochs - 1
    fine_tuning = params.distill.segment_epochs if params.segments else 0
    recovery = params.compress.recover_epochs if _is_pruned(params) else 0
    return max(params.distill.epochs - 1, fine_tuning, recovery)


def no_segments(case: Case) -> str | None:
    if case.params.segments or case.params.variants:
        return None
    return "`students` has only general, so there are no segments"


def no_rule_reads_taste(case: Case) -> str | None:
    rules = [student.where for student in case.params.students.values() if student.where]
    if any(re.search(rf"\b{TASTE}\b", rule) for rule in rules):
        return None
    return f"no rule of `students` reads `{TASTE}`"


def nothing_is_pruned(case: Case) -> str | None:
    if _is_pruned(case.params):
        return None
    return "`compress.heads_kept` and `hidden_kept` are 1, so nothing is pruned"


def nothing_is_trained_on(case: Case) -> str | None:
    recovers = _is_pruned(case.params) and case.params.compress.recover_epochs > 0
    if case.params.segments or case.params.variants or recovers:
        return None
    return "`students` has only general, and no training follows pruning"


def _is_pruned(params: Params) -> bool:
    return params.compress.heads_kept < 1 or params.compress.hidden_kept < 1
