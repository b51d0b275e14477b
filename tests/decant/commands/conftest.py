"""No test of this folder reaches anybody's account."""

import pytest


@pytest.fixture(autouse=True)
def _nobody(aws: None) -> None:
    """No test reaches anybody's account."""
