"""Conditions under which a setting has no effect, each with the reason; `effects` has the table.

A condition takes a case and returns the reason, or None where the setting has an effect. Reasons go
on from "`block.name` has no effect: ".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from decant.features.segments import TASTE
from decant.params.load import Params
from decant.params.types import OWN

DEFAULTS: dict[str, Any] = Params().model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Case:
    """A configuration; `items`: how many the catalogue has, None before the data is there."""

    params: Params
    items: int | None = None

    def value(self, key: str) -> Any:
        """One setting by its dotted name."""
        value: Any = self.params
        for part in key.split("."):
            value = getattr(value, part)
        return value


Condition = Callable[[Case], str | None]


def only(key: str, needed: str) -> Condition:
    """Unless the setting `key` has the value `needed`."""

    def reason(case: Case) -> str | None:
        value = case.value(key)
        return None if value == needed else f"`{key}` is `{value}`, not `{needed}`"

    return reason


def needs(key: str, consequence: str) -> Condition:
    """Where the setting `key` is 0, null or empty; `consequence` says what is not done then."""

    def reason(case: Case) -> str | None:
        value = case.value(key)
        if value:
            return None
        shown = "null" if value is None else "empty" if isinstance(value, list | dict) else "0"
        return f"`{key}` is {shown}, so {consequence}"

    return reason


def either(*conditions: Condition) -> Condition:
    """Where one of several conditions holds; the reason is the first one's."""
    return lambda case: next((why for c in conditions if (why := c(case)) is not None), None)


def no_delimited_table(case: Case) -> str | None:
    ingest = case.params.ingest
    if ingest.layout == "table" or ingest.users or ingest.items or ingest.vectors:
        return None
    return "`ingest.layout: sequences` is cut at blanks and commas, and there is no other table"


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
    return f"the column `{column}` says what each event is, see `ingest.behaviour`"


def titles_have_a_column(case: Case) -> str | None:
    items = case.params.ingest.items
    return "`ingest.items` names the column of titles itself" if items and items.title else None


def no_clock(case: Case) -> str | None:
    if case.params.source != OWN or case.params.ingest.time is not None:
        return None
    return "`ingest.time` is null, so no two events are known to be near in time"


def one_event_in_each_window(case: Case) -> str | None:
    if case.params.split.method == "time":
        return None
    return "with `split.method: leave-one-out` a user has one event in each window"


def catalogue_fits(block: str) -> Condition:
    """Where the catalogue is known to have at most `full_softmax_max_items` items."""

    def reason(case: Case) -> str | None:
        items, most = _most_items(case), case.value(f"{block}.full_softmax_max_items")
        if items is None or items > most:
            return None
        return (
            f"a catalogue of at most `{block}.full_softmax_max_items` ({most:,}) items is not "
            f"sampled, and there are {items:,}"
        )

    return reason


def default_fits_too(block: str) -> Condition:
    """The same where it has at most as many items as `full_softmax_max_items` allows by default."""
    default = DEFAULTS[block]["full_softmax_max_items"]

    def reason(case: Case) -> str | None:
        items = _most_items(case)
        return None if items is None or items > default else catalogue_fits(block)(case)

    return reason


def _most_items(case: Case) -> int | None:
    """The most items that the catalogue can have; the demo shop's is a setting."""
    return case.params.raw.items if case.params.source == "demo" else case.items


def catalogue_is_sampled(case: Case) -> str | None:
    most = case.params.distill.full_softmax_max_items
    if case.items is None or case.items <= most:
        return None
    return (
        f"a catalogue of more than `distill.full_softmax_max_items` ({most:,}) items is sampled, "
        f"and which sequences have the highest loss is not known then; there are {case.items:,}"
    )


def no_soft_labels(case: Case) -> str | None:
    settings = case.params.distill
    # of a sampled catalogue the list-wise loss is the soft one
    if settings.soft_weight or (settings.rce_kd_weight and not catalogue_fits("distill")(case)):
        return None
    return "only the soft-label loss reads it, and `distill.soft_weight` is 0"


def no_labels(case: Case) -> str | None:
    settings = case.params.distill
    if settings.soft_weight or settings.rce_kd_weight or settings.stratified_weight:
        return None
    names = "`distill.soft_weight`, `rce_kd_weight` and `stratified_weight`"
    return f"{names} are 0, so no loss reads the teacher's labels"


def epochs_end_first(block: str) -> Condition:
    """Where `patience`, and its default, are too long to end a training of this block."""
    default = DEFAULTS[block]["patience"]

    def reason(case: Case) -> str | None:
        patience = min(case.value(f"{block}.patience"), default)
        if patience < _patience_that_is_too_long(case.params, block):
            return None
        return f"every training of {block} has done its epochs before"

    return reason


def _patience_that_is_too_long(params: Params, block: str) -> int:
    """The shortest patience that ends no training before its last epoch.

    Of a new model the first epoch is the best so far; a model that is trained on may be best as it
    was before the first.
    """
    if block == "teacher":
        return params.teacher.epochs - 1
    trained_on = params.distill.segment_epochs if params.segments else 0
    recovered = params.compress.recover_epochs if _is_pruned(params) else 0
    return max(params.distill.epochs - 1, trained_on, recovered)


def no_segments(case: Case) -> str | None:
    if case.params.segments or case.params.variants:
        return None
    return "`students` has none but general, so no student is of a segment"


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
    return "`students` has none but general, and nothing is trained again after pruning"


def _is_pruned(params: Params) -> bool:
    return params.compress.heads_kept < 1 or params.compress.hidden_kept < 1
