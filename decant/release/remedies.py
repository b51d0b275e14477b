"""What to do about a check of the gate that failed, in one sentence for each kind of check."""

from collections.abc import Iterable, Mapping
from typing import Any

FEW = (
    "too few users decide: larger `split.validation`, more `split.cases_per_user`, or "
    "`split.method: by-user`, which holds out events of every user"
)
AGAIN = "the evidence is incomplete: run the stage that the check names again"
CHEAPER = (
    "a student is too expensive: smaller `distill.dimension`, fewer of `distill.experts`, "
    "`distill.successors` and `distill.factors`; or a larger teacher; or a threshold that fits"
)
RETAINED = (
    "students fall behind the teacher: more `distill.epochs`, larger `distill.dimension`, "
    "`compress.hidden_kept: 1.0`"
)
REMEDIES = {
    "lift": (
        "counting is as good as the models: `decant configure` proposes `teacher.experts` and "
        "`distill.experts` that fit the events; `--profile=full` trains longer; with few events "
        "for each item a traditional model may be enough"
    ),
    "retention": RETAINED,
    "compression": "compression costs too much: `compress.hidden_kept: 1.0`, more "
    "`compress.recover_epochs`",
    "size_ratio": CHEAPER,
    "latency_ratio": CHEAPER,
    "cases": "a group has no validation users: larger `split.validation`, or fewer groups",
}


def remedies(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to do about the checks that failed, each once, in the order of the checks."""
    return [*dict.fromkeys(remedy(check) for check in checks if not check["passed"])]


def remedy(check: Mapping[str, Any]) -> str:
    """What to do about one check that failed."""
    if "too few" in str(check.get("why")):
        return FEW
    if check.get("value") is None:
        return AGAIN
    return REMEDIES.get(str(check["name"]).split(".")[0], AGAIN)
