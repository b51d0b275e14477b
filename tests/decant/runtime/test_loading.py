"""A student is asked once before it serves."""

from typing import Any

import numpy as np
import pytest

from decant.models.bundle import BundleError
from decant.runtime.loading import check_answer

ITEMS = 4


class Fixed:
    """A model that always returns the same scores, or fails."""

    def __init__(self, scores: Any) -> None:
        self.answer = scores

    def scores(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.asarray(self.answer, dtype=np.float32)


def test_a_score_for_every_item_is_an_answer() -> None:
    check_answer("general", Fixed(np.zeros((1, ITEMS + 1))), {}, ITEMS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        ([[0, 1, 2, 3, np.nan]], "scores that are not finite"),
        ([[0, 1, 2, 3, np.inf]], "scores that are not finite"),
        ([[0, -np.inf, 2, 3, 4]], "scores that are not finite"),
        ([[0, 1, 2, 3]], "scores 3 items; the release has 4"),
        ([[0, 1, 2, 3, 4, 5]], "scores 5 items"),
        (RuntimeError("out of\nmemory"), "cannot answer: out of memory"),
    ],
)
def test_anything_else_is_an_error_that_names_the_student(scores: Any, problem: str) -> None:
    with pytest.raises(BundleError, match=f"student general .*{problem}"):
        check_answer("general", Fixed(scores), {}, ITEMS)  # type: ignore[arg-type]
