"""A journal that a kill has left behind is opened again."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from decant.tuning.journal import JOURNAL, cut_torn_line, open_study


def test_a_study_is_the_same_after_it_was_closed(tmp_path: Path) -> None:
    first = open_study(tmp_path)
    trial = first.ask()
    trial.set_user_attr("chosen", {"dropout": 0.1})
    first.tell(trial, 0.5)
    first.ask()
    again = open_study(tmp_path).get_trials()
    assert [t.state for t in again] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert again[0].value == 0.5 and again[0].user_attrs == {"chosen": {"dropout": 0.1}}


def test_what_a_kill_left_does_not_stop_the_next_search(tmp_path: Path) -> None:
    open_study(tmp_path).ask()
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('{"op_code":4,"wor')
    (tmp_path / f"{JOURNAL}.lock").symlink_to(JOURNAL)
    open_study(tmp_path).ask()
    assert len(open_study(tmp_path).get_trials()) == 2


@pytest.mark.parametrize(
    ("content", "left"),
    [(b"{}\n{", b"{}\n"), (b"{}\n{}\n", b"{}\n{}\n"), (b'{"a', b""), (b"", b"")],
)
def test_only_a_line_that_has_no_end_is_cut(tmp_path: Path, content: bytes, left: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(content)
    cut_torn_line(path)
    assert path.read_bytes() == left
