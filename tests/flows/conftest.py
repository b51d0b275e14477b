"""One Prefect server for all flow tests of a session."""

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary server and database."""
    with prefect_test_harness(server_startup_timeout=60):
        yield
