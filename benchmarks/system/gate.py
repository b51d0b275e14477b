"""How often the gate is wrong about user groups: simulated runs on the demo shop's law.

One run of the demo gives the population: NDCG of every user under their group's student and under
the general one. A simulated run draws each group's deciding users from its population, with the
gain shifted to a known value, and asks the gate's own rule.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.experiments.data_sets import Log
from benchmarks.harness.checkout import Clone
from benchmarks.harness.demo_workspace import ShopError
from decant.evaluation.evaluate import ORACLE, RELEASED
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, VALIDATION
from decant.params.load import Params, load_params
from decant.params.release import Gate
from decant.params.types import GENERAL
from decant.release.decision import Judge
from decant.release.ranked import Ranked, read_ranked
from decant.report.results import Figure, Outcome

RUNS, FEWER = 1000, 200  # simulated runs: for an error rate, for a share of accepted students
DECIDING = (100, 400, 1600)  # deciding users of each group
GAINS = (-0.02, 0.0, 0.02, 0.05, 0.1)  # true gains, relative to general's NDCG
RESAMPLES = 500
Population = dict[str, tuple[np.ndarray, np.ndarray]]  # group → own and general's NDCG, float [V]


def bench(project: Clone, log: Log) -> Outcome:
    """Run the demo, then simulate decisions on its groups."""
    log("running the demo; some minutes")
    made = project.flow("retrain", "--no-promote")
    if made.status:
        raise ShopError(f"the demo failed: {made.error}")
    params = load_params(project.root / "params.yaml")
    people = population(project, params)
    gate = params.gate.model_copy(update={"resamples": RESAMPLES})
    outcome = Outcome(protocol(people, gate), [params.seed])
    for deciding in DECIDING:
        for name, rates in simulate(people, gate, deciding, params.seed).items():
            outcome.figures[f"{name}.deciding.{deciding}"] = rates
        log(f"{deciding} deciding users: {RUNS} runs of each setting done")
    outcome.shown = table(outcome.figures)
    worst = max(
        figure["value"] for name, figure in outcome.figures.items() if name.startswith("error.")
    )
    outcome.holds("error.at_most_0.05", worst <= 0.05 + binomial_error(0.05), f"{worst:.3f}")
    return outcome


def population(project: Clone, params: Params) -> Population:
    """NDCG of each group's users in both windows, under their own student and under general."""
    data = project.root / "data"
    ranked = read_ranked(
        pd.read_parquet(data / "evaluation" / "cases.parquet"), params.evaluate.k, [ORACLE]
    )
    people: Population = {}
    for name in params.segments:
        users = np.load(data / "segments" / f"{name}.npy", allow_pickle=False)
        pairs = [
            [ranked.scores(f"{student}/{RELEASED}", window, users) for student in (name, GENERAL)]
            for window in (VALIDATION, TEST)
        ]
        known = [(a.to_numpy(), b.to_numpy()) for a, b in pairs if a is not None and b is not None]
        if known:
            ours, theirs = (np.concatenate(side) for side in zip(*known, strict=True))
            people[name] = ours, theirs
    if not people:
        raise ShopError("the demo has no groups with students of their own")
    return people


def simulate(people: Population, gate: Gate, deciding: int, seed: int) -> dict[str, Figure]:
    """Rates over simulated runs, by name.

    `error.margin`: runs in which any group gets a student that is truly worse by the margin, if all
    groups' are; `error.half`: if every second group's truly gains 5 %. `rare.margin`: as the first,
    if the loss hits one user in twenty, which few users cannot show. `alone.margin`: as the first,
    each group judged without correction for the others. `accepted`: students, by true gain.
    """
    rng = np.random.default_rng(seed)
    lost = dict.fromkeys(people, -gate.margin)
    half = {name: 0.05 if number % 2 else -gate.margin for number, name in enumerate(people)}
    figures = {
        "error.margin": rate(*(any_of(people, lost, gate, deciding, rng) for _ in range(RUNS))),
        "error.half": rate(*(any_of(people, half, gate, deciding, rng) for _ in range(RUNS))),
        "rare.margin": rate(
            *(any_of(rare(people), lost, gate, deciding, rng) for _ in range(RUNS))
        ),
        "alone.margin": rate(*(alone(people, lost, gate, deciding, rng) for _ in range(RUNS))),
    }
    for gain in GAINS:
        true = dict.fromkeys(people, gain)
        runs = [decide(people, true, gate, deciding, rng) for _ in range(FEWER)]
        accepted = [ships for run in runs for ships in run.values()]
        figures[f"accepted.{percent(gain)}"] = rate(*accepted)
    return figures


def any_of(
    people: Population, true: Mapping[str, float], gate: Gate, deciding: int,
    rng: np.random.Generator,
) -> bool:  # fmt: skip
    """Whether any group with a truly worse student gets it, in one simulated run."""
    accepted = decide(people, true, gate, deciding, rng)
    return any(ships for name, ships in accepted.items() if true[name] < 0)


def alone(
    people: Population, true: Mapping[str, float], gate: Gate, deciding: int,
    rng: np.random.Generator,
) -> bool:  # fmt: skip
    """The same if each group were judged as if it were the only one."""
    return any(
        decide({name: people[name]}, {name: true[name]}, gate, deciding, rng)[name]
        for name in people
    )


def rare(people: Population) -> Population:
    """Populations in which the student equals general, except that one user in twenty loses all.

    Most small samples show too few of them: the hardest case for an interval.
    """
    changed: Population = {}
    for name, (_, theirs) in people.items():
        ours = theirs.copy()
        ours[np.argsort(-theirs, kind="stable")[::20]] = 0.0
        changed[name] = ours, theirs
    return changed


def decide(
    people: Population, true: Mapping[str, float], gate: Gate, deciding: int,
    rng: np.random.Generator,
) -> dict[str, bool]:  # fmt: skip
    """One simulated run: whether each group's student is accepted by the gate's rule.

    Args:
        true: gain of each group's student in its population, relative to general's NDCG.
    """
    users = np.arange(4 * deciding * len(people) + 1000)
    groups = np.array_split(users[~in_selection(users)][: deciding * len(people)], len(people))
    members = dict(zip(people, groups, strict=True))
    columns: dict[str, list[np.ndarray]] = {GENERAL: []}
    for name, (ours, theirs) in people.items():
        drawn = rng.integers(0, len(ours), deciding)
        shift = true[name] * theirs.mean() - (ours - theirs).mean()
        columns[GENERAL].append(theirs[drawn])
        columns[name] = [ours[drawn] + shift]
    frame = pd.DataFrame(
        {f"{GENERAL}/{RELEASED}": np.concatenate(columns.pop(GENERAL))},
        index=np.concatenate(groups),
    )
    for name, (values,) in columns.items():
        frame[f"{name}/{RELEASED}"] = pd.Series(values, index=members[name])
    empty = frame.iloc[:0]
    ranked = Ranked({VALIDATION: frame, TEST: empty}, {}, {}, {})
    judge = Judge(ranked, {}, {}, gate, int(rng.integers(2**31)))
    everybody = {GENERAL: np.zeros(0, dtype=int), **members}
    judged = judge.segments(everybody, [], judge.collect(everybody, []))
    return {name: segment.ships for name, segment in judged.items()}


def rate(*outcomes: bool) -> Figure:
    """Share of true outcomes with its 95 % Wilson interval (Wilson 1927)."""
    n, share, z = len(outcomes), float(np.mean(outcomes)), 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"value": share, "low": float(centre - half), "high": float(centre + half), "n": n}


def binomial_error(share: float) -> float:
    """Two standard errors of a share over `RUNS` runs."""
    return float(2 * np.sqrt(share * (1 - share) / RUNS))


def percent(gain: float) -> str:
    """A gain as a part of a figure's name: `minus_2`, `0`, `plus_5`."""
    number = f"{abs(100 * gain):g}"
    return number if gain == 0 else f"{'plus' if gain > 0 else 'minus'}_{number}"


def protocol(people: Population, gate: Gate) -> dict[str, str]:
    """Description of the method."""
    sizes = ", ".join(f"{name} ({len(ours):,})" for name, (ours, _) in people.items())
    return {
        "population": "users of the demo shop's groups in both windows, with the NDCG of their own "
        f"and the general student as released: {sizes}",
        "run": "each group's deciding users are drawn with replacement; the difference between the "
        "students is shifted to the true gain",
        "rule": f"the gate's own: margin {gate.margin:.1%}, {RESAMPLES:,} resamples, Holm over "
        f"{len(people)} groups",
        "error": "share of runs in which any group gets a student truly worse by the margin",
        "rare": "as error.margin, if one user in twenty loses everything and no other loses",
        "alone": "as error.margin, without the correction for several groups",
        "accepted": "share of students that are accepted, by their true gain in per cent",
        "interval": f"95 % Wilson interval over {RUNS:,} runs, for `accepted` {FEWER}",
    }


def table(figures: Mapping[str, Figure]) -> str:
    """Rates by number of deciding users."""
    names = list(dict.fromkeys(name.partition(".deciding.")[0] for name in figures))
    width = max(map(len, names))
    head = f"{'deciding users per group'.ljust(max(width, 24))}" + "".join(
        f"{n:>9,}" for n in DECIDING
    )
    rows = [
        name.ljust(max(width, 24))
        + "".join(f"{figures[f'{name}.deciding.{n}']['value']:9.1%}" for n in DECIDING)
        for name in names
    ]
    return "\n".join([head, *rows])
