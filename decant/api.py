"""Decant from Python: tables in, a teacher and its students out, measured and asked.

For notebooks and experiments. The pipeline (`make run`) does the same in versioned steps and adds
what production needs: a report, a gate, a registry.

    import decant

    data = decant.prepare(events, users, params=decant.load_params())
    teacher = decant.fit(data)
    students = decant.distill(data, teacher)
    print(decant.evaluate(data, {"teacher": teacher, **students}))
    decant.recommend(data, students["general"], history=["sku-1", "sku-7"], k=5)
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from decant.ask import AnyModel, open_graph, recommend
from decant.compression.compress import compress_student
from decant.distillation.fit import new_model
from decant.distillation.knowledge import extract, load_knowledge
from decant.distillation.shrinkage import shrink_students
from decant.distillation.student import train_student
from decant.distillation.teacher import train_teacher
from decant.evaluation.evaluate import ALL, check_cutoff
from decant.evaluation.metrics import hit, mean_over_users, ndcg
from decant.evaluation.scoring import OnnxScorer, Scorer, rank
from decant.features.encode import Encoder
from decant.features.sequences import TEST, VALIDATION, cases
from decant.frames import Data, prepare
from decant.models import bundle
from decant.models.build import load_model, save_model
from decant.models.export import export_onnx
from decant.models.recommender import Recommender
from decant.params.load import load_params, parse_params
from decant.params.students import folded_students, groups_of, in_waves
from decant.params.types import GENERAL, TEACHER
from decant.runtime.engine import Event, Family
from decant.serving.reload import open_source
from decant.suggest import suggest
from decant.training.checkpoint import Checkpoints
from decant.training.supervision import Knowledge, Material
from decant.training.validate import TorchScorer

__all__ = [
    "Data",
    "Event",
    "compress",
    "distill",
    "evaluate",
    "fit",
    "load",
    "load_params",
    "load_release",
    "parse_params",
    "prepare",
    "recommend",
    "save",
]


def fit(data: Data, *, verbose: bool = True) -> Recommender:
    """Train the teacher with the settings of `params.teacher`.

    Raises:
        ValueError: training diverges, or there is nothing to learn from.
    """
    settings, material = data.params.teacher, _material(data)
    with tempfile.TemporaryDirectory() as folder:
        trained = train_teacher(
            material,
            settings,
            data.params.seed,
            lambda seed: new_model(material, settings, seed),
            Checkpoints(Path(folder), "api"),
            log=print if verbose else None,
        )
    return trained.model


def distill(
    data: Data,
    teacher: Recommender,
    students: Sequence[str] | str | None = None,
    *,
    verbose: bool = True,
) -> dict[str, Recommender]:
    """Distil the students of `params.students` from the teacher's knowledge.

    Args:
        students: names; None: all. Those that they start from are trained and returned too.
            Groups of fewer than `distill.min_users` users get no student.

    Raises:
        ValueError: an unknown student.
    """
    params = data.params
    if isinstance(students, str):
        students = [students]
    for name in students or ():
        _check_student(data, name)
    trained: dict[str, Recommender] = {}
    with _knowledge(data, teacher) as knowledge:
        for name in _in_order(data, students):
            student = params.students[name]
            start = trained.get(student.init or "")
            trained[name], report = train_student(
                _material(data, knowledge if student.labels == "soft" else None),
                params.settings_of(name),
                params.seed,
                start=None if start is None else _copy(start),
                teacher=teacher if student.init == TEACHER else None,
                members=_members(data, name),
                log=None,
            )
            if verbose:
                print(f"{name}: validation NDCG@10 {report.best:.4f}")
    starts = {n: start for n, start in params.shrunk.items() if n in trained}
    users = {n: of_name for n in starts if (of_name := _members(data, n)) is not None}
    trained |= shrink_students(trained, starts, _material(data, None), users)[0]
    merged = [name for name in students or params.students if name not in trained]
    if verbose and merged:
        few = f"fewer than distill.min_users ({params.distill.min_users}) users"
        print(f"merged into {GENERAL}: {', '.join(merged)} ({few}, or starts from such a student)")
    return trained


def compress(
    data: Data,
    student: Recommender,
    folder: Path | str,
    name: str = GENERAL,
    teacher: Recommender | None = None,
    *,
    verbose: bool = True,
) -> Path:
    """Prune and quantise a student; each step is taken only if its quality holds.

    Args:
        folder: of the bundles `pruned` and `int8`.
        name: the student in `params.students`: its settings, and the users it is judged on.
        teacher: its knowledge guides the recovery after pruning; None: events alone do.

    Returns:
        The folder of the int8 bundle, which `evaluate` and `recommend` take.

    Raises:
        ValueError: an unknown student.
    """
    _check_student(data, name)
    with _knowledge(data, teacher) as knowledge:
        compress_student(
            _copy(student),
            _members(data, name),
            _material(data, knowledge),
            data.params.compress,
            data.params.settings_of(name),
            data.params.seed,
            Path(folder),
            log=print if verbose else _quiet,
        )
    return Path(folder) / "int8"


def evaluate(data: Data, models: Mapping[str, AnyModel], window: str = VALIDATION) -> pd.DataFrame:
    """Rank every target of a window in the whole catalogue.

    Args:
        models: by name, each a trained model or the folder of a bundle. All are measured on all
            users and on every group.
        window: `validation` or `test`; choose on validation, look at test once.

    Returns:
        A row per model and group: `users`, `cases`, `ndcg@K`, `hr@K` with K = `evaluate.k`.
    """
    if window not in (VALIDATION, TEST):
        raise ValueError(f"invalid window `{window}`: expected `{VALIDATION}` or `{TEST}`")
    if not isinstance(models, Mapping):
        raise TypeError("models is a mapping from names to models, such as {'teacher': teacher}")
    k, sequences, encoder = data.params.evaluate.k, data.sequences, data.encoder
    check_cutoff(k, len(encoder.items))
    chosen = cases(sequences, window, data.params.split.cases_per_user)
    rows = []
    for name, model in models.items():
        ranks = rank(
            _scorer(model, encoder),
            sequences,
            chosen,
            len(encoder.items),
            k=k,
            exclude_seen=encoder.exclude_seen,
        ).ranks
        for group, members in {ALL: np.arange(sequences.users), **data.members}.items():
            inside = np.isin(chosen.user, members)
            users, of_group = chosen.user[inside], ranks[inside]
            rows.append(
                {
                    "model": name,
                    "group": group,
                    "users": len(np.unique(users)),
                    "cases": int(inside.sum()),
                    f"ndcg@{k}": mean_over_users(ndcg(of_group, k), users) if users.size else None,
                    f"hr@{k}": mean_over_users(hit(of_group, k), users) if users.size else None,
                }
            )
    return pd.DataFrame(rows)


def save(data: Data, model: Recommender, folder: Path | str) -> None:
    """Write a model as a bundle: safetensors, ONNX graph, catalogue, manifest last."""
    folder = Path(folder)
    save_model(model, folder, data.encoder.items, {})
    export_onnx(model, folder / bundle.GRAPH, data.encoder.max_length)
    bundle.seal(folder)


def load(folder: Path | str) -> Recommender:
    """Read a model from a bundle, such as `data/models/teacher` of a run; never a pickle.

    Raises:
        BundleError: the bundle is incomplete or was changed, or it has only a graph: int8 bundles
            can be evaluated and asked, not trained.
    """
    folder = Path(folder)
    bundle.check(folder)
    if not (folder / bundle.WEIGHTS).is_file():
        raise bundle.BundleError(
            f"{folder} has a graph and no weights: give the folder itself to `evaluate` and "
            "`recommend`"
        )
    return load_model(folder)


def load_release(channel: str = "production", root: Path | str = ".") -> Family:
    """Load the release on a channel of a project's registry.

    Ask it like `release.recommend({"age": 28}, [decant.Event("sku-1")], k=5)`; the answer has the
    items, the student, and what was unknown.

    Raises:
        NothingToServeError and others: nothing was promoted, or the release is damaged.
    """
    source = open_source(Path(root), channel)
    try:
        return source.load(source.pointer().release)
    finally:
        source.preload.end()


@contextmanager
def _knowledge(data: Data, teacher: Recommender | None) -> Iterator[Knowledge | None]:
    """The teacher's knowledge, in a temporary folder."""
    if teacher is None:
        yield None
        return
    settings = data.params.knowledge
    with tempfile.TemporaryDirectory() as folder:
        extract(
            [teacher],
            data.sequences,
            Path(folder),
            settings.top_k,
            states=settings.states,
            relations=settings.relations,
        )
        yield load_knowledge(Path(folder))


def _material(data: Data, knowledge: Knowledge | None = None) -> Material:
    per_user = data.params.split.cases_per_user
    return Material(data.encoder, data.sequences, data.vectors, knowledge, per_user)


def _in_order(data: Data, students: Sequence[str] | None) -> list[str]:
    """The students to train, after those that they start from."""
    every, needed = data.params.students, set(students or data.params.students)
    waves = in_waves(every)
    for wave in reversed(waves):
        needed |= {str(every[name].init) for name in wave if name in needed}
    users = {name: _members(data, name) for name in every}
    sizes = {n: data.sequences.users if own is None else len(own) for n, own in users.items()}
    merged = folded_students(every, sizes, data.params.distill.min_users)
    return [name for wave in waves for name in wave if name in needed and name not in merged]


def _members(data: Data, student: str) -> np.ndarray | None:
    """The users of a segment's student or of a variant of it; None for all users."""
    if data.params.students[student].where is None:
        return None
    serving = next(n for n, group in groups_of(data.params.students).items() if student in group)
    return data.members[serving]


def _copy(model: Recommender) -> Recommender:
    other = Recommender(model.architecture)
    other.load_state_dict(model.state_dict())
    return other


def _check_student(data: Data, name: str) -> None:
    if name not in data.params.students:
        raise ValueError(f"no student `{name}`; {suggest(name, list(data.params.students))}")


def _quiet(line: str) -> None:
    """A log that drops every line."""


def _scorer(model: AnyModel, encoder: Encoder) -> Scorer:
    if isinstance(model, Recommender):
        return TorchScorer(model)
    return OnnxScorer(open_graph(model), encoder.max_length, as_served=True)
