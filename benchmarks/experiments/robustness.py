"""Quality on noisy histories, measured on the demo."""

from benchmarks.experiments.data_sets import Log
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import ShopError
from benchmarks.provenance.trainings import trainings
from benchmarks.system.demo import VERDICT
from decant.commands.robustness import NAME, RESULTS, finish
from decant.params.load import load_params
from decant.report.results import Outcome


def bench(project: Clone, log: Log, *, window: str) -> Outcome:
    """Run the demo and measure its models on noisy histories."""
    log("running the demo; some minutes")
    made = project.flow()
    if not (project.root / VERDICT).is_file():
        raise ShopError(f"the demo failed: {made.error}")
    log("ranking from noisy histories with every model; some minutes")
    ended = project.decant(NAME, "--window", window)
    if ended.status:
        raise ShopError(f"decant {NAME} failed: {ended.error}")
    result = project.read(str(RESULTS / f"{NAME}.json"))
    outcome = Outcome(result["protocol"], result["seeds"], result["figures"])
    finish(outcome, load_params(project.root / "params.yaml"))
    outcome.trained = trainings(project.root)
    outcome.measured("run.seconds", round(made.seconds, 1))
    outcome.measured("measured.seconds", round(ended.seconds, 1))
    return outcome
