"""Compared students: variants of the general student and of each segment's.

They are written into `students` of params.yaml, and trained, compressed, evaluated and gated by the
ordinary pipeline.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decant.params.edit import Settings
from decant.params.load import Params
from decant.params.models import Distill
from decant.params.types import GENERAL, TEACHER

ATTRIBUTES = "attributes"
SEGMENT = "segment"  # each group's own student of the preset
NARROWER, RANK, HALF, QUARTER = 0.75, 8, 0.5, 0.25
PRIOR = {"prior_weight": 0.5, "prior_shrinkage": 3000.0}
NO_START: dict[str, Any] = {"init_item_embeddings": False, "init_layers": []}
Student = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """A variant of a student. `student`: as in params.yaml, without a rule."""

    text: str
    student: Student


@dataclass(frozen=True)
class Comparison:
    """The students of one comparison.

    `students`: as in params.yaml. `general`: variants for all users, each a student of that name.
    `groups`: variants for groups, with the student of each group.
    """

    students: dict[str, Student]
    general: dict[str, Variant]
    groups: dict[str, dict[str, str]]
    texts: dict[str, str]

    @property
    def settings(self) -> Settings:
        """What a comparison changes in params.yaml."""
        knowledge = {} if self.groups else {"knowledge": {"states": True, "relations": True}}
        return {"students": self.students, "distill": {"threads": 1}, **knowledge}


def compare_groups(params: Params, without: tuple[str, ...] = ()) -> Comparison:
    """The preset's students, and variants of the general student and of every segment's.

    Raises:
        ValueError: a variant to leave out does not exist, or others start from it.
    """
    general, groups = general_variants(params.distill), group_variants(params)
    check_without(without, general, groups)
    general = {name: variant for name, variant in general.items() if name not in without}
    groups = {name: variant for name, variant in groups.items() if name not in without}
    students: dict[str, Student] = {GENERAL: params.students[GENERAL].model_dump()}
    students |= {name: variant.student for name, variant in general.items()}
    of_groups = {SEGMENT: {name: name for name in params.segments}}
    for group, student_of_group in params.segments.items():
        students[group] = student_of_group.model_dump()
        for name, variant in groups.items():
            rule = {
                "where": student_of_group.where,
                "priority": student_of_group.priority - 1,
            }
            init = variant.student["init"]
            student = {**variant.student, **rule, "init": group if init == SEGMENT else init}
            students[f"{group}_{name}"] = student
            of_groups.setdefault(name, {})[group] = f"{group}_{name}"
    texts = {
        TEACHER: "the teacher itself",
        GENERAL: "the general student of the preset",
        **{name: variant.text for name, variant in general.items()},
        SEGMENT: "the preset's student of each segment: the general student, fine-tuned for it",
        **{name: variant.text for name, variant in groups.items()},
    }
    return Comparison(students, general, of_groups, texts)


def general_variants(distill: Distill) -> dict[str, Variant]:
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
        "undistilled": Variant("the same size and steps, without distillation", hard),
        other: Variant(
            f"the general student, which {does} the user's attributes",
            {"init": TEACHER, "overrides": inputs},
        ),
        f"undistilled_{other}": Variant(
            "the same without distillation", {**hard, "overrides": inputs}
        ),
        "cvar": Variant(
            f"the general student, trained on the {HALF:.0%} of each batch with the highest loss",
            {"init": TEACHER, "overrides": {"cvar_fraction": HALF}},
        ),
        "narrow": Variant(
            f"the general student, {NARROWER:g} times as wide",
            {"init": TEACHER, "overrides": narrow},
        ),
        "longer": Variant(
            "the general student, fine-tuned on all users with a segment's epochs and rate",
            {"init": GENERAL},
        ),
    }


def group_variants(params: Params) -> dict[str, Variant]:
    """Variants of each segment's student."""
    general = general_variants(params.distill)
    other = next(name for name in general if name in (ATTRIBUTES, "attribute_blind"))
    quarter = max(1, round(QUARTER * params.features.max_length))
    shrink = not params.distill.shrink
    return {
        "shrunk" if shrink else "unshrunk": Variant(
            "the segment's student "
            + ("interpolated with the general one, as validation says" if shrink else "as trained"),
            {"init": GENERAL, "overrides": {"shrink": shrink}},
        ),
        f"from_{other}": Variant(
            f"`{other}`, fine-tuned for the segment",
            {"init": other, "overrides": general[other].student["overrides"]},
        ),
        "adapters": Variant(
            f"the general student with low-rank adapters (rank {RANK}) for the segment",
            {"init": GENERAL, "overrides": {"adapter_rank": RANK}},
        ),
        "prior": Variant(
            "the general student with the segment's popularity in its item bias",
            {"init": GENERAL, "overrides": {"segment_epochs": 0, **PRIOR}},
        ),
        "narrow_segment": Variant(
            "`narrow`, fine-tuned for the segment",
            {"init": "narrow", "overrides": general["narrow"].student["overrides"]},
        ),
        "short": Variant(
            f"the segment's student, reading the newest {quarter} events",
            {"init": SEGMENT, "overrides": {"segment_epochs": 0, "max_length": quarter}},
        ),
        "scratch": Variant(
            "from scratch on the segment's events, with the teacher's soft labels",
            {"init": None, "overrides": {"background_ratio": 0.0}},
        ),
    }


def check_without(
    without: tuple[str, ...], general: Mapping[str, Variant], groups: Mapping[str, Variant]
) -> None:
    """Check that the variants can be left out.

    Raises:
        ValueError: one does not exist, is the reference of others, or others start from it.
    """
    variants = {**general, **groups}
    for name in without:
        if name in (GENERAL, SEGMENT, TEACHER):
            raise ValueError(f"--without: `{name}` is the reference of the others")
        if name not in variants:
            raise ValueError(f"--without: no variant `{name}`; known: {', '.join(variants)}")
        derived = [n for n, k in variants.items() if k.student["init"] == name and n not in without]
        if derived:
            others = ", ".join(derived)
            raise ValueError(f"--without: leave out {others} too, which start from `{name}`")


def compare_losses(params: Params) -> Comparison:
    """The general student with single losses and combinations, from scratch except `items`."""
    none: Student = {
        **dict.fromkeys(("soft_weight", "rce_kd_weight", "stratified_weight"), 0.0),
        **dict.fromkeys(("states_weight", "attention_relation_weight"), 0.0),
        **{"temperature": 1.0, **NO_START},
    }

    def variant(text: str, init: str | None = None, **weights: Any) -> Variant:
        return Variant(text, {"init": init, "overrides": {**none, **weights}})

    variants = {
        "hard": Variant(
            "only hard labels", {"init": None, "labels": "hard", "overrides": dict(none)}
        ),
        "soft_3": variant("soft labels, .3 of the loss", soft_weight=0.3),
        "soft_7": variant("soft labels, .7", soft_weight=0.7),
        "soft_9": variant("soft labels, .9", soft_weight=0.9),
        "soft_all": variant("only soft labels", soft_weight=1.0),
        "warm": variant("soft labels, .7, temperature 2", soft_weight=0.7, temperature=2.0),
        "list": variant("list-wise, .7", rce_kd_weight=0.7),
        "soft_list": variant("soft labels, .5, list-wise, .4", soft_weight=0.5, rce_kd_weight=0.4),
        "strata": variant(
            "soft labels, .5, and stratified, .2", soft_weight=0.5, stratified_weight=0.2
        ),
        "hidden": variant("soft labels, .7, and states", soft_weight=0.7, states_weight=0.3),
        "relations": variant(
            "soft labels, .7, relations", soft_weight=0.7, attention_relation_weight=0.3
        ),
        "items": variant(
            "soft labels, .7, from the teacher's item embeddings", TEACHER,
            soft_weight=0.7, init_item_embeddings=True,
        ),
    }  # fmt: skip
    general = {GENERAL: params.students[GENERAL].model_dump()}
    students = {**general, **{name: k.student for name, k in variants.items()}}
    texts = {TEACHER: "the teacher itself", GENERAL: "the general student of the preset"}
    return Comparison(
        students, variants, {}, texts | {name: k.text for name, k in variants.items()}
    )
