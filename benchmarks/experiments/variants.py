"""Students that are compared: variants of the general student and of each segment's.

They are written into `students` of params.yaml and trained, compressed, evaluated and judged by the
ordinary graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decant.params.load import Params
from decant.params.models import Distill
from decant.params.types import GENERAL, TEACHER

ATTRIBUTES = "attributes"
SEGMENT = "segment"  # each group's own student as the preset has it
NARROWER, RANK, HALF, QUARTER = 0.75, 8, 0.5, 0.25
PRIOR = {"prior_weight": 0.5, "prior_shrinkage": 3000.0}
NO_START: dict[str, Any] = {"init_item_embeddings": False, "init_layers": []}
Student = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One way to make a student. `student`: as in params.yaml, without a rule."""

    text: str
    student: Student


@dataclass(frozen=True)
class Comparison:
    """The students of one comparison.

    `students`: as params.yaml has them. `general`: kinds for all users, each one student of that
    name. `groups`: kinds for groups, with the student of each group.
    """

    students: dict[str, Student]
    general: dict[str, Kind]
    groups: dict[str, dict[str, str]]
    texts: dict[str, str]


def compare_groups(params: Params, without: tuple[str, ...] = ()) -> Comparison:
    """The preset's students, and variants of the general student and of every segment's.

    Raises:
        ValueError: a kind that is left out does not exist, or others start from it.
    """
    general, groups = general_kinds(params.distill), group_kinds(params)
    refuse_to_leave_out(without, general, groups)
    general = {name: kind for name, kind in general.items() if name not in without}
    groups = {name: kind for name, kind in groups.items() if name not in without}
    students: dict[str, Student] = {GENERAL: params.students[GENERAL].model_dump()}
    students |= {name: kind.student for name, kind in general.items()}
    made = {SEGMENT: {name: name for name in params.segments}}
    for group, own in params.segments.items():
        students[group] = own.model_dump()
        for name, kind in groups.items():
            rule = {"where": own.where, "priority": own.priority - 1}
            init = kind.student["init"]
            student = {**kind.student, **rule, "init": group if init == SEGMENT else init}
            students[f"{group}_{name}"] = student
            made.setdefault(name, {})[group] = f"{group}_{name}"
    texts = {
        TEACHER: "the teacher itself",
        GENERAL: "the general student of the preset",
        **{name: kind.text for name, kind in general.items()},
        SEGMENT: "the preset's student of each segment: the general one, fine-tuned for it",
        **{name: kind.text for name, kind in groups.items()},
    }
    return Comparison(students, general, made, texts)


def general_kinds(distill: Distill) -> dict[str, Kind]:
    """Variants of the general student."""
    reads = ATTRIBUTES in distill.inputs
    others = [name for name in distill.inputs if name != ATTRIBUTES]
    inputs = {"inputs": others if reads else [*others, ATTRIBUTES]}
    other = "attribute_blind" if reads else ATTRIBUTES
    does = "does not read" if reads else "reads"
    dimension = distill.heads * max(1, round(NARROWER * distill.dimension / distill.heads))
    narrow = {"dimension": dimension, "init_layers": []}
    hard: Student = {"init": None, "labels": "hard"}
    return {
        "undistilled": Kind("the same size and steps, without the teacher's knowledge", hard),
        other: Kind(
            f"the general student, which {does} the user's attributes",
            {"init": TEACHER, "overrides": inputs},
        ),
        f"undistilled_{other}": Kind(
            "the same without the teacher's knowledge", {**hard, "overrides": inputs}
        ),
        "cvar": Kind(
            f"the general student, trained on the worst {HALF:.0%} of each batch",
            {"init": TEACHER, "overrides": {"cvar_fraction": HALF}},
        ),
        "narrow": Kind(
            f"the general student, {NARROWER:g} times as wide",
            {"init": TEACHER, "overrides": narrow},
        ),
        "longer": Kind(
            "the general student, trained further on all users with a segment's epochs and rate",
            {"init": GENERAL},
        ),
    }


def group_kinds(params: Params) -> dict[str, Kind]:
    """Variants of each segment's student."""
    general = general_kinds(params.distill)
    other = next(name for name in general if name in (ATTRIBUTES, "attribute_blind"))
    quarter = max(1, round(QUARTER * params.features.max_length))
    return {
        f"from_{other}": Kind(
            f"`{other}`, fine-tuned for the segment",
            {"init": other, "overrides": general[other].student["overrides"]},
        ),
        "adapters": Kind(
            f"the general student with low-rank adapters (rank {RANK}) for the segment",
            {"init": GENERAL, "overrides": {"adapter_rank": RANK}},
        ),
        "prior": Kind(
            "the general student with the segment's popularity in its item bias",
            {"init": GENERAL, "overrides": {"segment_epochs": 0, **PRIOR}},
        ),
        "narrow_segment": Kind(
            "`narrow`, fine-tuned for the segment",
            {"init": "narrow", "overrides": general["narrow"].student["overrides"]},
        ),
        "short": Kind(
            f"the segment's student, reading the newest {quarter} events",
            {"init": SEGMENT, "overrides": {"segment_epochs": 0, "max_length": quarter}},
        ),
        "scratch": Kind(
            "from scratch on the segment's own events, with the teacher's soft labels",
            {"init": None, "overrides": {"background_ratio": 0.0}},
        ),
    }


def refuse_to_leave_out(
    without: tuple[str, ...], general: Mapping[str, Kind], groups: Mapping[str, Kind]
) -> None:
    """Raise if a kind cannot be left out.

    Raises:
        ValueError: it does not exist, the others are compared with it, or some start from it.
    """
    kinds = {**general, **groups}
    for name in without:
        if name in (GENERAL, SEGMENT, TEACHER):
            raise ValueError(f"--without: the others are compared with `{name}`")
        if name not in kinds:
            raise ValueError(f"--without: no kind `{name}`; there are {', '.join(kinds)}")
        heirs = [n for n, k in kinds.items() if k.student["init"] == name and n not in without]
        if heirs:
            others = ", ".join(heirs)
            raise ValueError(f"--without: leave out {others} too: it starts from `{name}`")


def compare_losses(params: Params) -> Comparison:
    """The general student with each loss alone and some together, all of it from scratch but
    `items`."""
    none: Student = {
        **dict.fromkeys(("soft_weight", "rce_kd_weight", "stratified_weight"), 0.0),
        **dict.fromkeys(("states_weight", "attention_relation_weight"), 0.0),
        **{"temperature": 1.0, **NO_START},
    }

    def kind(text: str, init: str | None = None, **weights: Any) -> Kind:
        return Kind(text, {"init": init, "overrides": {**none, **weights}})

    kinds = {
        "hard": Kind(
            "hard labels alone", {"init": None, "labels": "hard", "overrides": dict(none)}
        ),
        "soft_3": kind("soft labels, .3 of the loss", soft_weight=0.3),
        "soft_7": kind("soft labels, .7", soft_weight=0.7),
        "soft_9": kind("soft labels, .9", soft_weight=0.9),
        "soft_all": kind("soft labels alone", soft_weight=1.0),
        "warm": kind("soft labels, .7, temperature 2", soft_weight=0.7, temperature=2.0),
        "list": kind("a list, .7", rce_kd_weight=0.7),
        "soft_list": kind("soft labels, .5, and a list, .4", soft_weight=0.5, rce_kd_weight=0.4),
        "strata": kind("soft labels, .5, and strata, .2", soft_weight=0.5, stratified_weight=0.2),
        "hidden": kind("soft labels, .7, and states", soft_weight=0.7, states_weight=0.3),
        "relations": kind(
            "soft labels, .7, relations", soft_weight=0.7, attention_relation_weight=0.3
        ),
        "items": kind(
            "soft labels, .7, from the teacher's item table", TEACHER,
            soft_weight=0.7, init_item_embeddings=True,
        ),
    }  # fmt: skip
    general = {GENERAL: params.students[GENERAL].model_dump()}
    students = {**general, **{name: k.student for name, k in kinds.items()}}
    texts = {TEACHER: "the teacher itself", GENERAL: "the general student of the preset"}
    return Comparison(students, kinds, {}, texts | {name: k.text for name, k in kinds.items()})
