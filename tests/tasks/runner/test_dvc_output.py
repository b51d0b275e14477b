"""What DVC says, in words for people."""

from collections.abc import Iterator

import pytest

from tasks.runner.dvc_output import explain_status, failure_reason


@pytest.fixture
def said() -> Iterator[list[str]]:
    yield ["made it", "error: one", "error: two", "ERROR: failed to reproduce 'x': exited with 2"]


def test_the_last_error_line_wins(said: list[str]) -> None:
    assert failure_reason(said, 2) == "two"
    assert failure_reason(said[-1:], 2) == "exited with 2"
    assert failure_reason([], -9) == "killed by SIGKILL"
    assert failure_reason(["ERROR: failed to run: x, exited with 137"], 1) == (
        "failed to run: x, killed by SIGKILL"
    )


def test_what_changed_is_said_in_one_line() -> None:
    changes = [
        {"changed deps": {"data/raw": "modified", "params.yaml": {"teacher.epochs": "modified"}}},
        {"changed outs": {"data/x": "deleted"}},
        "changed command",
    ]
    assert explain_status(changes) == (
        "data/raw modified, teacher.epochs in params.yaml, output data/x deleted, changed command"
    )
