"""Train and rank rivals of a segment's student; `decant bench …-groups` starts it.

In a workspace whose features, segments and teacher are made:
`python -m decant.bench.rivals NAME [--tries N] [--minutes N]`. A name is a way for everybody, or
a way for groups, `@` and a group, see `decant.bench.ways`. `unaware` trains the teacher that does
not know the attributes, `knowledge` and `unaware-knowledge` write down what the teachers know;
they come first of all, then the ways for everybody, from which the others start.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from decant.bench.results import write_json
from decant.bench.teach import (
    NOT_DONE,
    Prepared,
    code,
    load,
    member_name,
    prepared,
    teach,
    teacher_name,
)
from decant.bench.ways import (
    ATTRIBUTES,
    EVERYTHING,
    FROM_ATTRIBUTES,
    GENERAL_WAYS,
    GROUP_WAYS,
    KNOWLEDGE,
    LOSS_WAYS,
    PRIOR,
    SEGMENT,
    TASTE,
    TRIES,
    UNAWARE,
    UNAWARE_LABELS,
    UNTRAINED,
    Try,
    Way,
    way_of,
)
from decant.compression.shorten import mean_multiply_adds, shorten
from decant.distillation.knowledge import extract, load_knowledge
from decant.distillation.prior import with_prior
from decant.distillation.student import Material, distill_general, distill_segment, lesson_for
from decant.evaluation.evaluate import WINDOWS
from decant.evaluation.measure import by_group
from decant.evaluation.scoring import rank
from decant.features.sequences import TEST, cases, history_lengths, training_counts
from decant.features.taste import taste_groups
from decant.features.validation import of_users
from decant.models.build import architecture
from decant.models.checkpoint import parameter_count
from decant.models.cost import multiply_adds
from decant.models.recommender import Recommender
from decant.params import GENERAL, TEACHER, Distill
from decant.training.checkpoints import Checkpoints, TimeUp, digest
from decant.training.device import device_of
from decant.training.loop import seeded
from decant.training.pupil import Report
from decant.training.validation import TorchScorer, validate

RIVALS = Path(".decant/rivals")
ALL = "all"
SHRINKAGES = (300.0, 3000.0, 30000.0)  # events
PRIOR_WEIGHTS = (0.25, 0.5, 1.0)
HISTORIES = (1 / 8, 1 / 4, 1 / 2)  # of what a model reads


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
        return digest([self.version, self.tries, name, repr(way), *users])

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


def train_unaware(of: Contest, minutes: float | None) -> None:
    """Train the teacher that does not know the attributes, taught by the same ensemble."""
    name, data = of.teachers[UNAWARE]
    if not data.done(name):
        members = range(1, data.params.teacher.ensemble + 1)
        taught_by = [load(of.data, member_name(number)) for number in members]
        teach(data, name, of.seed, taught_by, minutes)


def write_knowledge(of: Contest, labels: str) -> None:
    """Extract what one of the teachers knows."""
    model, data = of.everything if labels == EVERYTHING else of.teachers[labels]
    name = knowledge_name(labels)
    temporary = of.folder / f".{name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    settings, began = data.params.knowledge, time.monotonic()
    teacher = load(data, model).to(device_of(data.params.teacher))
    summary = extract(
        [teacher], data.sequences, temporary, settings.top_k, states=settings.states,
        relations=settings.relations,
    )  # fmt: skip
    shutil.rmtree(of.folder / name, ignore_errors=True)
    temporary.rename(of.folder / name)
    seconds = round(time.monotonic() - began, 1)
    write_json(of.result(name), {"version": of.version_of(name), "seconds": seconds, **summary})


def train_rival(
    of: Contest, name: str, minutes: float | None
) -> tuple[Recommender, dict[str, Any]]:
    """One trained rival and what there is to say of its training.

    Raises:
        TimeUp: `minutes` have passed; what was learned is kept for the next call.
    """
    kind, members, way = name.partition("@")[0], of.members_of(name), way_of(name)
    if kind == TEACHER:
        return load(of.data, teacher_name(of.seed)), {}
    if way is None:
        assert members is not None
        return best_prior(of, members) if kind == PRIOR else shortest(of, members)
    began, found = time.monotonic(), list[tuple[Try, Recommender, Report]]()
    for tried in way.tries[: of.tries]:
        left = None if minutes is None else minutes - (time.monotonic() - began) / 60
        folder = of.folder / name / f"{tried.rate:g}-{tried.dropout:g}"
        saved = Checkpoints(folder, of.version_of(name), left)
        found.append((tried, *train_once(of, way, tried, members, saved, f"{name}, {tried}")))
    tried, model, report = max(found, key=lambda trial: trial[2].best)
    return model, {
        "rate": tried.rate,
        "dropout": way.settings(of.settings, tried).dropout,
        "epochs": len(report.ndcg),
        "best_epoch": report.best_epoch + 1,
        "picks_ndcg": report.ndcg,
        "seconds": round(sum(trial.seconds for _, _, trial in found), 1),
        "predictions": report.events,
    }


def train_once(
    of: Contest, way: Way, tried: Try, members: np.ndarray | None, saved: Checkpoints, name: str
) -> tuple[Recommender, Report]:
    """Train a rival with one of the settings to try; a finished one is read from its checkpoint."""
    settings, material = way.settings(of.settings, tried), of.material(way.labels)
    log = partial(say, name)
    if way.start is not None:
        users = np.arange(of.data.sequences.users) if members is None else members
        start = trained(of, way.start)
        return distill_segment(start, users, material, settings, of.seed, log, saved)
    teacher = load(of.data, teacher_name(of.seed)) if settings.needs_teacher else None
    return distill_general(material, settings, of.seed, log, saved, members, teacher)


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


def best_prior(of: Contest, members: np.ndarray) -> tuple[Recommender, dict[str, Any]]:
    """The prior whose shrinkage and weight are best on the picking half; general if none is."""
    lesson = lesson_for(of.material(), of.settings, members)
    device = device_of(of.settings)
    best, chosen = trained(of, GENERAL).to(device), (0.0, 0.0)
    reached = validate(best, of.data.sequences, lesson)
    for shrinkage in SHRINKAGES:
        for weight in PRIOR_WEIGHTS:
            tried = trained(of, GENERAL).to(device)
            with_prior(tried, of.data.sequences, members, shrinkage, weight)
            value = validate(tried, of.data.sequences, lesson)
            if value > reached:
                best, reached, chosen = tried, value, (shrinkage, weight)
    return best, {"shrinkage": chosen[0], "weight": chosen[1]}


def shortest(of: Contest, members: np.ndarray) -> tuple[Recommender, dict[str, Any]]:
    """The family's general student with the shortest history that is enough for the group: on the
    picking half it loses no more than half of `gate.margin`.

    `of_requests`: how many times fewer multiply-adds the group's requests of the test window take.
    """
    device, data = device_of(of.settings), of.data
    lesson = lesson_for(of.material(), of.settings, members)
    whole = trained(of, of.family[0]).to(device)
    enough = validate(whole, data.sequences, lesson) - data.params.gate.margin / 2
    lengths = [max(1, round(share * whole.architecture.max_length)) for share in HISTORIES]
    shorter = (shorten(whole, length).to(device) for length in lengths)
    chosen = next((s for s in shorter if validate(s, data.sequences, lesson) >= enough), whole)
    requests = of_users(cases(data.sequences, TEST, data.params.split.cases_per_user), members)
    read = history_lengths(data.sequences, requests)
    costs = [mean_multiply_adds(model.architecture, read) for model in (whole, chosen)]
    return chosen, {"history": chosen.architecture.max_length, "of_requests": costs[0] / costs[1]}


def write_rival(of: Contest, name: str, minutes: float | None) -> None:
    """Train, keep the weights, rank; the JSON is written last: it says that all is there."""
    model, facts = train_rival(of, name, minutes)
    model.to(device_of(of.settings)).eval()
    weights = {n: t.contiguous() for n, t in model.state_dict().items()}
    save_file(weights, of.folder / f"{name}.safetensors")
    write_json(
        of.result(name),
        {
            "version": of.version_of(name),
            "parameters": parameter_count(model),
            "multiply_adds": multiply_adds(model.architecture),
            **facts,
            **ranked(of, model, name),
        },
    )


def ranked(of: Contest, model: Recommender, name: str) -> dict[str, Any]:
    """Ranks of all cases in both windows, or of a group's, and figures by segment."""
    data, k = of.data, of.data.params.evaluate.k
    members = of.members_of(name)
    counts = training_counts(data.sequences, len(data.encoder.items))
    found: dict[str, Any] = {}
    for window in WINDOWS:
        chosen = cases(data.sequences, window, data.params.split.cases_per_user)
        if members is not None:
            chosen = of_users(chosen, members)
        ranking = rank(
            TorchScorer(model), data.sequences, chosen, len(data.encoder.items), k=k,
            exclude_seen=data.encoder.exclude_seen,
        )  # fmt: skip
        groups = {ALL: np.unique(chosen.user), **(of.members if members is None else {})}
        found[window] = {
            "users": chosen.user.tolist(),
            "ranks": ranking.ranks.tolist(),
            "figures": by_group(chosen, ranking, groups, counts, k),
        }
    return found


def run(of: Contest, name: str, minutes: float | None) -> None:
    """Do what is not done yet.

    Raises:
        TimeUp: `minutes` have passed. ValueError: there is no such rival.
    """
    of.folder.mkdir(parents=True, exist_ok=True)
    known = [name for together in (*names_of(of), *losses_of()) for name in together]
    if name not in known:
        raise ValueError(f"no rival `{name}`; there are {', '.join(known)}")
    if name == UNAWARE:
        train_unaware(of, minutes)
    elif of.done(name):
        return
    elif name.endswith(KNOWLEDGE):
        write_knowledge(of, name.removesuffix(f"-{KNOWLEDGE}"))
    else:
        write_rival(of, name, minutes)


def say(name: str, line: str) -> None:
    tqdm.write(f"{name}: {line}", file=sys.stderr)


def main() -> int:
    """Be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--tries", type=int, default=len(TRIES))
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    try:
        of = replace(contest(Path()), tries=arguments.tries)
        run(of, arguments.name, arguments.minutes)
    except TimeUp as stopped:
        print(stopped, file=sys.stderr)
        return NOT_DONE
    return 0


if __name__ == "__main__":
    sys.exit(main())
