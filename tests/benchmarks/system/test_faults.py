"""What counts as a refusal."""

from benchmarks.harness.checkout import Ended
from benchmarks.system.faults import refused


def test_a_refusal_is_one_line_and_a_status() -> None:
    assert refused(Ended(2, "decant: error: no release\n", 0.1)) == []
    assert refused(Ended(0, "served\n", 0.1)) == ["not refused in one line: status 0, served"]
