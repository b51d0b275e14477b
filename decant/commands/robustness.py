"""`decant robustness`: quality of a finished run's models on noisy histories."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from decant.commands.finished_run import Finished, read
from decant.commands.parser import add_command, add_json
from decant.evaluation.robustness import SEEDS, SHARES, measure_all, trial
from decant.features.sequences import TEST, VALIDATION
from decant.params.load import Params
from decant.release.provenance import git
from decant.report.results import Outcome, document, write
from decant.report.robustness import figures, picture, table

NAME = "robustness"
RESULTS = Path("data/robustness")
PROTOCOL = {
    "trained": "on clean histories; noise is added only to the history before each test case. "
    "Targets and seen items are those of the true history",
    "insert": "after a share of a history's events, a random user's training event is inserted, "
    "never one of the target item",
    "drop": "a share of a history's events is lost, never all of them",
    "shuffle": "event i of a history of h sorts by i + share × min(h, {max_length}) × z, z uniform "
    "in (-1, 1); times keep their positions",
    "draws": "{seeds} draws of noise, averaged for each case; intervals are over users",
    "kept": "NDCG ÷ the same model's on clean histories",
    "models": "teacher and released students are the served graphs in ONNX Runtime; a segment's "
    "student is measured on its own users, all other models on all users",
}


def add_commands(subparsers: Any) -> None:
    """Register `decant robustness`."""
    parser = add_command(
        subparsers,
        NAME,
        "Measure teacher, students and baselines of the last run on histories with "
        "noise: inserted events of other users, lost events, events out of order. Writes "
        f"{NAME}.json, {NAME}.md and a plot, {NAME}.svg. Trains nothing; no stage reads the "
        "results.",
        run,
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"output folder; default: {RESULTS}"
    )
    parser.add_argument(
        "--draws",
        type=positive,
        default=SEEDS,
        metavar="N",
        help=f"draws of noise; default: {SEEDS}",
    )
    parser.add_argument(
        "--users", type=positive, metavar="N", help="measure a random sample of N users"
    )
    parser.add_argument(
        "--window",
        choices=(VALIDATION, TEST),
        default=TEST,
        help=f"the window to rank; default: {TEST}",
    )
    add_json(parser, "print the results as JSON too")


def positive(text: str) -> int:
    """Parse the number of an option such as `--draws`.

    Raises:
        ArgumentTypeError: the text is not a whole number above 0.
    """
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"invalid number `{text}`: expected a whole number above 0")


def run(arguments: argparse.Namespace) -> int:
    """Run `decant robustness`."""
    began = time.monotonic()
    root = arguments.root.resolve()
    finished = read(root, arguments.users, arguments.window)
    outcome = measured(finished, arguments.draws)
    commit = (git(root, "rev-parse", "HEAD") or "none").strip()
    options = f" --draws {arguments.draws}" if arguments.draws != SEEDS else ""
    options += f" --window {arguments.window}" if arguments.window != TEST else ""
    options += f" --users {arguments.users}" if arguments.users else ""
    result = document(NAME, outcome, commit, time.monotonic() - began, f"decant {NAME}{options}")
    print(outcome.shown, file=sys.stderr if arguments.json else sys.stdout)
    for path in write(arguments.out or root / RESULTS, result, outcome):
        print(f"wrote {path}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=2, sort_keys=True))
    return 0


def measured(finished: Finished, draws: int) -> Outcome:
    """Measure every model of a run, with a progress bar."""
    params, seed = finished.params, finished.params.seed
    noise = trial(
        finished.sequences,
        finished.encoder,
        finished.cases,
        seeds=draws,
        seed=seed,
        k=params.evaluate.k,
    )
    makers = finished.makers()
    total = noise.rankings * len(makers)
    with tqdm(total=total, desc="rankings", unit="ranking") as bar:
        curves = measure_all(makers, finished.rows(), noise, lambda name, done: bar.update(done))
    outcome = Outcome(protocol(finished, draws), list(noise.seeds))
    outcome.figures.update(figures(curves, finished.scores()))
    finish(outcome, params)
    return outcome


def protocol(finished: Finished, draws: int) -> dict[str, str]:
    """Describe how the figures were measured."""
    split, users = finished.params.split, len(set(finished.cases.user.tolist()))
    filled = {"max_length": finished.encoder.max_length, "seeds": draws}
    return {
        "data": f"{finished.params.source}, {len(finished.cases)} cases of {users} users, "
        f"{finished.window} window, split {split.method}, {len(finished.encoder.items)} items, "
        "all ranked",
        **{subject: how.format(**filled) for subject, how in PROTOCOL.items()},
        "shares": ", ".join(f"{share:.0%}" for share in SHARES),
    }


def finish(outcome: Outcome, params: Params) -> None:
    """Add the table, and the plot of the models that are measured on all users."""
    k = params.evaluate.k
    outcome.shown = table(outcome.figures, k)
    outcome.picture = picture(outcome.figures, k, params.segments)
