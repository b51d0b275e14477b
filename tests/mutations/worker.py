"""Run tests in a process that begins with the packages loaded.

Importing the packages takes longer than most tests. So a server imports them once, and every run of
tests is a fork of it; the project's own modules are imported by each run.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = str(Path(__file__).resolve().parents[2])
PACKAGES = [
    "boto3", "great_expectations", "implicit", "lightning_fabric", "moto.server", "numpy", "onnx",
    "onnxruntime.quantization", "optuna", "pandas", "pyarrow.parquet", "pydantic", "pytest",
    "scipy.sparse", "scipy.stats", "sklearn.cluster", "torch", "torch.onnx", "torch.utils",
]  # fmt: skip
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "GX_ANALYTICS_ENABLED": "false"}


def run_tests(copy: Path, places: Sequence[str], seconds: float | None) -> tuple[int | None, str]:
    """Run tests in a copy of the tree until the first fails.

    Returns:
        pytest's exit status (None: stopped after `seconds`), and its output.
    """
    os.environ.update(ENVIRONMENT)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PACKAGES)
    with NamedTemporaryFile() as output:
        process = context.Process(target=run_pytest, args=(str(copy), [*places], output.name))
        process.start()
        process.join(seconds)
        assert process.pid is not None
        with suppress(ProcessLookupError):  # also what its tests have started
            os.killpg(process.pid, signal.SIGKILL)
        ended = process.exitcode
        process.join()
        return ended, Path(output.name).read_text("utf-8", errors="replace")


def run_pytest(copy: str, places: Sequence[str], output: str) -> None:
    """Become the process group in which pytest runs, with the modules of the copy."""
    os.setsid()
    os.chdir(copy)
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.path[:] = [copy, *(place for place in sys.path if place not in ("", ROOT))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    import pytest

    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *places]))
