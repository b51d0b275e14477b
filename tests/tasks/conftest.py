"""A workspace in which every stage before the candidate has run."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.releases import bundle, write

SETTINGS = {
    "students": {
        "general": {"init": "teacher"},
        "women": {"init": "general", "where": "gender == 'F'"},
        "men": {"init": "general", "where": "gender == 'M'"},
    }
}
RULES = {
    name: {"where": student["where"], "priority": 0}
    for name, student in SETTINGS["students"].items()
    if name != "general"
}


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Path]:
    """Write a workspace, or write over it: `make(model=…, ndcg=…, passed=…, held=…)`."""

    def make(
        *, model: str = "m", ndcg: float = 0.4, passed: bool = True, held: tuple[str, ...] = ()
    ) -> Path:
        root = tmp_path / "shop"
        data = root / "data"
        segments = {"women": {"ships": True}, "men": {"ships": False, "reason": "gain -0.01"}}
        check = {"name": "retention", "value": 0.8, "threshold": 0.9, "why": "family ÷ teacher"}
        check["bound"] = 0.7
        family = {"validation": {"all": {"ndcg": ndcg}}}
        write(root / "params.yaml", SETTINGS)
        write(root / "dvc.lock", {"stages": {}})
        write(data / "ingested" / "raw.json", {"views.csv": hashlib.sha256(b"u,i").hexdigest()})
        write(data / "segments" / "router.json", {"students": RULES, "folded": []})
        write(data / "features" / "encoder.json", {"items": 3})
        write(
            data / "gate" / "verdict.json",
            {
                "passed": passed,
                "checks": [{**check, "passed": passed}],
                "held": [*held],
                "segments": segments,
                "family": family,
            },
        )
        write(data / "evaluation" / "metrics.json", {"k": 10})
        for student in SETTINGS["students"]:
            bundle(data / "compressed" / student / "int8", f"{model} of {student}")
        return root

    return make
