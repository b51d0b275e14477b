import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from decant.release.remedies import AGAIN, CHEAPER, FEW, REMEDIES, remedies

ROOT = Path(__file__).parents[3]


def failed(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "value": 0.1, "threshold": 0.2, "passed": False, "why": "x", **changes}


@pytest.mark.parametrize(
    ("check", "remedy"),
    [
        (failed("lift"), REMEDIES["lift"]),
        (failed("lift.lyon"), REMEDIES["lift"]),
        (failed("retention.small_groups"), REMEDIES["retention"]),
        (failed("compression.general"), REMEDIES["compression"]),
        (failed("cases.lyon"), REMEDIES["cases"]),
        (failed("lift", why="family over markov; 40 users are too few to show it"), FEW),
        (failed("retention", why="too few to decide, 3 users with a hit, of 50"), FEW),
        (failed("latency_ratio", value=None), AGAIN),
        (failed("population"), AGAIN),
    ],
)
def test_each_failed_check_has_a_remedy(check: dict[str, Any], remedy: str) -> None:
    assert remedies([check]) == [remedy]


def test_what_helps_twice_is_said_once_and_passed_checks_need_nothing() -> None:
    checks = [failed("size_ratio"), failed("latency_ratio"), failed("lift", passed=True)]
    assert remedies(checks) == [CHEAPER]


def test_settings_that_remedies_name_exist() -> None:
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    texts = [FEW, CHEAPER, *REMEDIES.values()]
    named = [name for text in texts for name in re.findall(r"`(\w+\.\w+)", text)]
    assert len(named) > 10
    for name in named:
        block, key = name.split(".")
        assert key in settings[block], name
