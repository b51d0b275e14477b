"""The benchmarks: what each measures, runs and takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.experiments.variants import compare_groups, compare_losses
from benchmarks.harness.demo_workspace import CHANGES, MORE_USERS
from decant.params.edit import Settings
from decant.params.load import Params
from decant.suggest import suggest

DEMO = "demo"
TO_VECTORS = ("raw", "ingest", "validate", "features", "embed")
TO_GATE = (*TO_VECTORS, "segments", "teacher", "knowledge", "distill", "shrink",
           "compress", "evaluate", "gate")  # fmt: skip
TO_STUDENT = (*TO_VECTORS, "segments", "teacher", "knowledge", "distill")
ALL = (*TO_GATE, "report", "candidate")
PROTOCOL = "protocol"  # option of MovieLens 1M
OF_DATA = ("from", "profile", "minutes")  # options of every benchmark of a data set
FLOWS = ("flows.retrain", "flows.rerun")
Changes = Callable[[Params, tuple[str, ...]], Settings]


def _unchanged(params: Params, without: tuple[str, ...]) -> Settings:
    return {}


def _tiny(params: Params, without: tuple[str, ...]) -> Settings:
    return CHANGES


def _more_users(params: Params, without: tuple[str, ...]) -> Settings:
    return MORE_USERS


def _groups(params: Params, without: tuple[str, ...]) -> Settings:
    return compare_groups(params, without).settings


def _losses(params: Params, without: tuple[str, ...]) -> Settings:
    return compare_losses(params).settings


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: the function `bench` of `module`, called with `fixed` and the `options` given.

    `stages`: those of dvc.yaml that make its figures; `programs`: other modules that it runs;
    `blocks`: settings that it reads besides those of the stages. `changes`: what it writes into
    params.yaml, after the preset of `source` if that is not None. `ranks`: its figures rank a
    window, which is validation unless `--test` is given. `timed`: `--minutes` changes its figures,
    elsewhere it only stops a run that can be resumed. `kept`: it works in a clone that stays, so
    that long training can be resumed.
    """

    module: str
    text: str
    ranks: bool = True
    timed: bool = False
    options: tuple[str, ...] = ()
    source: str | None = None
    profile: str = "full"
    stages: tuple[str, ...] = TO_GATE
    programs: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    changes: Changes = _unchanged
    fixed: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether it works in a clone that stays."""
        return self.source is not None


def _data_set(source: str, text: str, *options: str) -> Benchmark:
    return Benchmark(
        "benchmarks.experiments.data_sets",
        text,
        options=(*OF_DATA, "seeds", *options),
        source=source,
        fixed={"source": source},
    )


def _students(source: str, text: str, *options: str, losses: bool) -> Benchmark:
    return Benchmark(
        "benchmarks.experiments.students",
        text,
        ranks=not losses,  # losses are compared on validation
        options=(*OF_DATA, *options) if losses else (*OF_DATA, "without", "groups", *options),
        source=source,
        changes=_losses if losses else _groups,
        fixed={"source": source, "losses": losses},
    )


def _experts(source: str, text: str) -> Benchmark:
    return Benchmark(
        "benchmarks.experiments.experts",
        text,
        options=OF_DATA,
        source=source,
        profile="quick",
        stages=TO_STUDENT,
        fixed={"source": source},
    )


BENCHMARKS = {
    "demo": Benchmark(
        "benchmarks.system.demo",
        "the demo shop, end to end: quality, size, latency, time",
        stages=ALL,
        programs=FLOWS[:1],
    ),
    "faults": Benchmark(
        "benchmarks.system.faults",
        "kill -9 at every stage, full disk, damaged release",
        ranks=False,
        stages=ALL,
        programs=FLOWS,
        changes=_tiny,
    ),
    "gate": Benchmark(
        "benchmarks.system.gate",
        "how often the gate errs about user groups, simulated on the demo's law",
        ranks=False,
        programs=FLOWS[:1],
    ),
    "robustness": Benchmark(
        "benchmarks.experiments.robustness",
        "quality of every model on increasingly noisy histories",
        programs=("decant.commands.robustness",),
    ),
    "incremental": Benchmark(
        "benchmarks.experiments.incremental",
        "training from scratch against updating, day by day",
        stages=TO_VECTORS,
        changes=_more_users,
    ),
    "modalities": Benchmark(
        "benchmarks.experiments.modalities",
        "gain from text and images, also on new items",
        stages=TO_VECTORS,
        changes=_more_users,
    ),
    "serving": Benchmark(
        "benchmarks.system.serving",
        "effect of one client on another, with the service's limits",
        ranks=False,
        stages=(),
        programs=("decant.commands.service", "decant.serving.app"),
        blocks=("features", "distill", "serve"),
    ),
    "large-catalogue": Benchmark(
        "benchmarks.system.large_catalogue",
        "a student with experts on 200,000 items: bytes, latency, time to make it",
        ranks=False,
        stages=(),
    ),
    "reruns": Benchmark(
        "benchmarks.system.reruns",
        "only what a change affects runs again; same release id",
        ranks=False,
        stages=ALL,
        programs=FLOWS,
        changes=_tiny,
    ),
    "movielens-100k": _data_set(
        "movielens-100k", "traditional models, teacher and family, split by time"
    ),
    "movielens-1m": _data_set(
        "movielens-1m",
        "the same with the published protocol: leave-one-out, whole catalogue",
        PROTOCOL,
    ),
    "demo-groups": _students(
        DEMO, "variants of every group's student, released or not, on the demo", losses=False
    ),
    "movielens-1m-groups": _students(
        "movielens-1m", "the same on MovieLens 1M", PROTOCOL, losses=False
    ),
    "demo-losses": _students(
        DEMO, "each loss for training a student, on the demo's validation window", losses=True
    ),
    "movielens-1m-losses": _students(
        "movielens-1m", "the same on MovieLens 1M", PROTOCOL, losses=True
    ),
    "training": Benchmark(
        "benchmarks.throughput.compare",
        "speed, and quality at equal steps, beside RecTools' SASRec on MovieLens 1M",
        ranks=False,
        timed=True,
        options=("from", PROTOCOL, "minutes"),
        source="movielens-1m",
        profile="quick",
        stages=TO_VECTORS,
        programs=("benchmarks.throughput.step_profile", "benchmarks.throughput.rectools_sasrec"),
    ),
    "online-retail": _data_set("online-retail", "the same on a shop's log, split by time"),
    "experts": _experts("online-retail", "what each expert and the clock is worth on that log"),
    "movielens-100k-experts": _experts("movielens-100k", "the same on MovieLens 100K"),
    "demo-experts": _experts(DEMO, "the same on the demo"),
}


class UnknownBenchmarkError(ValueError):
    """No benchmark has this name; the message suggests similar ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no benchmark `{name}`; {suggest(name, BENCHMARKS, 'benchmarks')}")


def benchmark_of(name: str) -> Benchmark:
    """The benchmark with this name.

    Raises:
        UnknownBenchmarkError: there is none.
    """
    if name not in BENCHMARKS:
        raise UnknownBenchmarkError(name)
    return BENCHMARKS[name]
