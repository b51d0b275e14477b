"""What each expert and the clock is worth, for the teacher and the general student.

The flow is run up to the students; then their networks get other sets of experts, whose gates are
fitted as in the pipeline. Trained networks are the same in these rows. Two more students are
trained: one on the labels of the teacher's network alone, and one without experts as large as the
student with them.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.data_sets import RESAMPLES, Log, NotDoneError, prepare, with_interval
from benchmarks.harness.checkout import Clone
from benchmarks.harness.graphs import exported
from benchmarks.provenance.trainings import trainings
from decant.distillation.fit import fit, new_model
from decant.distillation.gate_evidence import enlarged
from decant.distillation.gates import CONSTANT, GATED, NETWORK, fitted
from decant.distillation.knowledge import extract, load_knowledge
from decant.evaluation.intervals import paired_gain
from decant.evaluation.latency import interleaved_latency
from decant.evaluation.metrics import ndcg, user_means
from decant.evaluation.scoring import rank
from decant.features.encode import Encoder
from decant.features.holdout import decision_cases
from decant.features.sequences import TEST, VALIDATION, Cases, Sequences, cases
from decant.models.build import expert_shape, load_model
from decant.models.cost import multiply_adds
from decant.models.experts import Experts, ExpertShape
from decant.models.recommender import Recommender
from decant.params.load import Params, load_params
from decant.params.models import Distill
from decant.params.types import GENERAL, TEACHER
from decant.report.results import Figure, Outcome, plain
from decant.runtime.session import Model
from decant.training.loop import Plan
from decant.training.supervision import Material
from decant.training.validate import TorchScorer
from tasks.runner.artifacts import load_vectors
from tasks.runner.step import Workspace

K = 10
STUDENT_STAGE = f"distill@{GENERAL}"
WINDOWS = {
    TEST: TEST,
    VALIDATION: "validation, of the half of the users to whom no gate was fitted",
}
ALL, UNCLOCKED = "all", "without_clock"
WIDE = "wide_network"
BY_NETWORK = "taught_by_network"
COSTED = (NETWORK, CONSTANT, ALL)
REQUESTS = 200
WIDTHS = 8  # a width is a multiple of it


def bench(
    project: Clone, log: Log, *, source: str, given: Path | None, profile: str,
    minutes: float | None, window: str,
) -> Outcome:  # fmt: skip
    """Train teacher and general student in the clone, measure every set of experts.

    Raises:
        NotDoneError: a stage or the measurement failed.
    """
    prepare(project, log, source, given, profile, stages=(STUDENT_STAGE,))
    log("fitting every set of experts; a minute each")
    program = ("-m", "benchmarks.experiments.experts")
    measured = project.run(*program, str(project.root), window)
    if measured.status:
        raise NotDoneError(f"the measurement failed: {measured.error}")
    figures: dict[str, Figure] = json.loads(measured.output.splitlines()[-1])
    params = load_params(project.root / "params.yaml")
    outcome = Outcome(protocol(params, source, window), [params.seed], figures)
    outcome.trained = trainings(project.root)
    outcome.shown = table(figures)
    return outcome


def protocol(params: Params, source: str, window: str) -> dict[str, Any]:
    """Description of the protocol."""
    return {
        "data": source,
        "window": WINDOWS[window],
        "models": "teacher and general student of the pipeline, in float32",
        "figures": f"NDCG@{K}, mean over users; `difference`: of a row less all experts together, "
        "paired; intervals: bootstrap over users",
        "experts": f"teacher {', '.join(params.teacher.experts)}; student "
        f"{', '.join(params.distill.experts)}; network: none; constant: weights that read no "
        "signals; without_clock: gates that do not read the pause",
        "students": f"{WIDE}: a student without experts, wide enough for as many bytes in int8 as "
        f"the one with all; {BY_NETWORK}: a student whose labels are those of the teacher's "
        "network, in place of network and experts",
        "cost": "of the student in int8, one request, one thread, graphs in turn; ratios are to "
        "the same student without experts",
        "ranked": "the whole catalogue, ties against the model",
    }


def measure(root: Path, window: str) -> dict[str, Figure]:
    """All figures by dotted name."""
    params, data = load_params(root / "params.yaml"), root / "data"
    encoder = Encoder.load(data / "features" / "encoder.json")
    sequences = Sequences.load(data / "features" / "sequences")
    workspace = Workspace(root, params)
    knowledge = load_knowledge(data / "knowledge")
    vectors = load_vectors(workspace)
    material = Material(encoder, sequences, vectors, knowledge, params.split.cases_per_user)
    chosen = (
        cases(sequences, TEST, params.split.cases_per_user)
        if window == TEST
        else decision_cases(sequences, params.split.cases_per_user)
    )
    figures: dict[str, Figure] = {}
    for name, settings in ((TEACHER, params.teacher), (GENERAL, params.settings_of(GENERAL))):
        network = enlarged(load_model(data / "models" / name), None)
        shape = expert_shape(settings, encoder)
        rows = variants(network, material, shape, params.seed)
        if name == GENERAL:
            rows = chain(rows, other_students(root, params, material))
        quality, costed = {}, {}
        for row, model in rows:
            quality[row] = per_user(model, material, chosen)
            if name == GENERAL and row in COSTED:
                costed[row] = model
            if row in (NETWORK, ALL, WIDE):
                figures[f"{name}.{row}.multiply_adds"] = plain(multiply_adds(model.architecture))
        figures |= {
            f"{name}.{n}": plain(v) for n, v in costs(costed, material, chosen, params.seed)
        }
        for row, values in quality.items():
            figures[f"{name}.{row}.ndcg@{K}"] = with_interval([values])
            if row != ALL:
                gain = paired_gain(values, quality[ALL], RESAMPLES, params.seed)
                figures[f"{name}.{row}.difference"] = {
                    "value": gain.gain, "low": gain.low, "high": gain.high, "n": gain.n,
                }  # fmt: skip
    return figures


def variants(
    network: Recommender, material: Material, shape: ExpertShape, seed: int
) -> Iterator[tuple[str, Recommender]]:
    """Rows of the table and their models: the network alone, all experts, each left out."""
    yield NETWORK, network
    yield CONSTANT, fitted(network, material, shape, CONSTANT, seed)
    yield ALL, fitted(network, material, shape, GATED, seed)
    if shape.clock:
        yield UNCLOCKED, fitted(network, material, replace(shape, clock=False), GATED, seed)
    for name in shape.names:
        others = tuple(other for other in shape.names if other != name)
        less = replace(shape, names=others)
        yield f"without_{name}", fitted(network, material, less, GATED, seed)


def other_students(
    root: Path, params: Params, material: Material
) -> Iterator[tuple[str, Recommender]]:
    """A wide student without experts, and those whose labels the teacher's network gives alone."""
    settings, seed = params.settings_of(GENERAL), params.seed
    teacher = load_model(root / "data" / "models" / TEACHER)
    shape = expert_shape(settings, material.encoder)
    width = width_of_equal_bytes(settings, shape, len(material.encoder.items))
    wide = settings.model_copy(update={"dimension": width})
    yield WIDE, trained(material, wide, seed, teacher)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        extract([teacher], material.sequences, Path(folder), params.knowledge.top_k)
        labelled = replace(material, knowledge=load_knowledge(Path(folder)))
        student = trained(labelled, settings, seed, teacher)
    yield f"{BY_NETWORK}.{NETWORK}", student
    yield f"{BY_NETWORK}.{ALL}", fitted(student, material, shape, GATED, seed)


def costs(
    models: dict[str, Recommender], material: Material, chosen: Cases, seed: int
) -> Iterator[tuple[str, float]]:
    """Bytes and latency of each model in int8, and how many times those of the network alone."""
    if not models:
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = {row: Path(folder) / f"{row}.onnx" for row in models}
        sizes = {row: exported(model, paths[row]) for row, model in models.items()}
        graphs = {row: Model(path) for row, path in paths.items()}
    times = interleaved_latency(
        graphs, material.sequences, chosen, material.encoder, REQUESTS, seed
    )
    for row, size in sizes.items():
        taken = times[row]["p50"]
        yield f"{row}.bytes", size
        yield f"{row}.latency_us", taken
        if row != NETWORK:
            yield f"{row}.bytes.ratio", size / sizes[NETWORK]
            yield f"{row}.latency.ratio", taken / times[NETWORK]["p50"]


def width_of_equal_bytes(settings: Distill, shape: ExpertShape, items: int) -> int:
    """The width of a student without experts whose item table in int8 has as many bytes as that of
    `settings` and the tables of the experts."""
    tables = [b.nbytes for n, b in Experts(shape, items).named_buffers() if n != "by_lag"]
    width = settings.dimension + sum(tables) / (items + 1)
    return WIDTHS * max(1, round(width / WIDTHS))


def trained(material: Material, settings: Distill, seed: int, teacher: Recommender) -> Recommender:
    """A general student without experts."""
    model = new_model(material, settings, seed, teacher)
    fit(model, material, settings, Plan(settings.epochs, settings.learning_rate, seed, log=None))
    return model.eval()


def per_user(model: Recommender, material: Material, chosen: Cases) -> np.ndarray:
    """NDCG of each user's cases, float [V]."""
    encoder = material.encoder
    ranking = rank(
        TorchScorer(model),
        material.sequences,
        chosen,
        len(encoder.items),
        k=K,
        exclude_seen=encoder.exclude_seen,
    )
    return user_means(ndcg(ranking.ranks, K), chosen.user)[1]


def table(figures: dict[str, Figure]) -> str:
    """NDCG of every row and its difference from all experts."""
    end = f".ndcg@{K}"
    lines = []
    for name in (n.removesuffix(end) for n in figures if n.endswith(end)):
        difference = figures.get(f"{name}.difference")
        beside = f"  {difference['value']:+.4f}" if difference else ""
        lines.append(f"{name:32}  {figures[name + end]['value']:.4f}{beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])))
