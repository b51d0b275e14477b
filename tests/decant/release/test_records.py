"""Records of the registry, and the reasons against a release."""

from decant.release.records import reasons_against


def test_production_speaks_before_the_gate_and_a_bound_just_below_is_told_apart() -> None:
    check = {
        "name": "retention",
        "value": 0.99,
        "bound": 0.97961,
        "threshold": 0.98,
        "passed": False,
        "why": "family ÷ teacher",
    }
    worse = {"passed": False, "why": "4% below production's"}
    assert reasons_against({"passed": False, "checks": [check]}, worse) == [
        "4% below production's",
        "retention: 99.00%, bound 97.96%, at least 98.00% is needed (family ÷ teacher)",
    ]
