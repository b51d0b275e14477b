"""What rivals of a segment's student are trained on, and who they are."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from benchmarks.experiments.teachers import Prepared, code, prepared, teacher_name
from benchmarks.experiments.variants import (
    ATTRIBUTES,
    EVERYTHING,
    FROM_ATTRIBUTES,
    GENERAL_WAYS,
    GROUP_WAYS,
    HISTORIES,
    KNOWLEDGE,
    LOSS_WAYS,
    PRIOR_WEIGHTS,
    SEGMENT,
    SHRINKAGES,
    TASTE,
    TRIES,
    UNAWARE,
    UNAWARE_LABELS,
    UNTRAINED,
    Way,
    way_of,
)
from decant.distillation.knowledge import load_knowledge
from decant.features.taste import taste_groups
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Distill
from decant.params.types import GENERAL, TEACHER
from decant.training.checkpoint import digest
from decant.training.loop import seeded
from decant.training.supervision import Material

RIVALS = Path(".decant/rivals")


@dataclass(frozen=True)
class Contest:
    """What every rival is trained on.

    `members`: users by segment; folded ones are left out. `tries`: how many settings each may try.
    `without`: kinds that do not take part.
    """

    data: Prepared
    members: dict[str, np.ndarray]
    seed: int
    tries: int = len(TRIES)
    without: frozenset[str] = frozenset()

    @property
    def settings(self) -> Distill:
        return self.data.params.distill

    @property
    def family(self) -> tuple[str, str]:
        """The ways that the students of params.yaml are made by: for everybody, for segments."""
        reads = ATTRIBUTES in self.settings.inputs
        return (ATTRIBUTES, FROM_ATTRIBUTES) if reads else (GENERAL, SEGMENT)

    @property
    def folder(self) -> Path:
        return self.data.root / RIVALS

    @cached_property
    def tastes(self) -> dict[str, np.ndarray]:
        """The users of all segments, in as many clusters of taste as there are segments."""
        everybody = np.sort(np.concatenate(list(self.members.values())))
        items = len(self.data.encoder.items)
        return taste_groups(self.data.sequences, items, everybody, len(self.members), self.seed)

    def groups(self, of: str = ATTRIBUTES) -> dict[str, np.ndarray]:
        """Users by group, of those by attributes or of those by taste."""
        return self.tastes if of == TASTE else self.members

    @property
    def aware(self) -> bool:
        """Does the teacher know the users' attributes, and is one wanted that does not?"""
        reads = self.data.params.teacher.inputs
        return ATTRIBUTES in reads and UNAWARE_LABELS not in self.without

    @property
    def ways(self) -> dict[str, Way]:
        """The ways for groups that take part; one may need what is not there."""
        return {
            name: way
            for name, way in GROUP_WAYS.items()
            if name not in self.without and (self.aware or way.labels != UNAWARE)
        }

    @property
    def everybody(self) -> dict[str, Way]:
        """The ways for everybody that take part."""
        return {name: way for name, way in GENERAL_WAYS.items() if name not in self.without}

    @property
    def untrained(self) -> list[str]:
        """The kinds for groups that take part and are not trained."""
        return [kind for kind in UNTRAINED if kind not in self.without]

    @property
    def teachers(self) -> dict[str, tuple[str, Prepared]]:
        """Name and settings of each teacher, by the knowledge it has."""
        found = {KNOWLEDGE: (teacher_name(self.seed), self.data)}
        if self.aware:
            params = self.data.params
            kept = [name for name in params.teacher.inputs if name != ATTRIBUTES]
            teacher = params.teacher.model_copy(update={"inputs": kept})
            unaware = params.model_copy(update={"teacher": teacher})
            found[UNAWARE] = (UNAWARE, replace(self.data, params=unaware))
        return found

    @property
    def everything(self) -> tuple[str, Prepared]:
        """The teacher, all of whose knowledge is written down."""
        params = self.data.params
        knowledge = params.knowledge.model_copy(update={"states": True, "relations": True})
        data = replace(self.data, params=params.model_copy(update={"knowledge": knowledge}))
        return teacher_name(self.seed), data

    @cached_property
    def version(self) -> str:
        """Digest of all that every rival depends on."""
        params = self.data.params
        return digest([
            self.data.version, code(self.data.root, "distill"), params.distill.model_dump(),
            params.knowledge.model_dump(), self.seed, sorted(self.members),
            *(self.members[name] for name in sorted(self.members)),
        ])  # fmt: skip

    def version_of(self, name: str) -> str:
        """Digest of all that a rival depends on."""
        way, members = way_of(name), self.members_of(name)
        users = [] if members is None else [members]
        rule = self.rules if name.partition("@")[0] in UNTRAINED else []
        return digest([self.version, self.tries, name, repr(way), *rule, *users])

    @property
    def rules(self) -> list[object]:
        """What a student that is not trained is chosen from, and by."""
        gate = self.data.params.gate
        return [SHRINKAGES, PRIOR_WEIGHTS, HISTORIES, gate.margin, gate.resamples]

    def members_of(self, name: str) -> np.ndarray | None:
        """The users whom `kind@group` is for; None: everybody."""
        way, group = way_of(name), name.partition("@")[2]
        return self.groups(ATTRIBUTES if way is None else way.groups)[group] if group else None

    def material(self, labels: str | None = KNOWLEDGE) -> Material:
        """What a student learns from; `labels`: of which teacher."""
        known = None if labels is None else load_knowledge(self.folder / knowledge_name(labels))
        return replace(self.data.material, knowledge=known)

    def result(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def done(self, name: str) -> bool:
        """Are there figures of this version?"""
        path = self.result(name)
        return path.is_file() and json.loads(path.read_text("utf-8"))["version"] == self.version_of(
            name
        )


def knowledge_name(labels: str) -> str:
    """What the knowledge of one of the teachers is called."""
    return labels if labels == KNOWLEDGE else f"{labels}-{KNOWLEDGE}"


def contest(root: Path) -> Contest:
    """Read what the stages up to `segments` have made."""
    data, folder = prepared(root), root / "data" / "segments"
    folded = json.loads((folder / "router.json").read_text("utf-8"))["folded"]
    members = {
        name: np.load(folder / f"{name}.npy", allow_pickle=False)
        for name in data.params.segments
        if name not in folded
    }
    return Contest(data, members, data.params.seed)


def names_of(of: Contest) -> list[list[str]]:
    """Every program to run; those of one list at the same time, one list after another."""
    groups = [f"{name}@{group}" for name, way in of.ways.items() for group in of.groups(way.groups)]
    untrained = [f"{kind}@{group}" for kind in of.untrained for group in of.members]
    go_on = [name for name, way in of.everybody.items() if way.start is not None]
    scratch = [name for name in of.everybody if name not in go_on]
    return [
        [UNAWARE] if of.aware else [],
        [knowledge_name(labels) for labels in of.teachers],
        [TEACHER, *scratch],
        [*go_on, *groups, *untrained],
    ]


def losses_of() -> list[list[str]]:
    """Every program to run to compare losses, as in `names_of`."""
    return [[knowledge_name(EVERYTHING)], [TEACHER, *LOSS_WAYS]]


def trained(of: Contest, name: str) -> Recommender:
    """A student, as it was trained."""
    way = way_of(name)
    assert way is not None
    settings = way.settings(of.settings)
    model = seeded(
        architecture(settings, of.data.encoder, of.data.vectors), of.data.vectors, of.seed
    )
    model.load_state_dict(load_file(of.folder / f"{name}.safetensors"))
    return model.eval()
