"""The table of benchmarks agrees with their modules and with the graph."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from benchmarks.catalogue import BENCHMARKS
from benchmarks.cli import OPTIONS

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_called_with_what_its_function_takes(name: str) -> None:
    benchmark = BENCHMARKS[name]
    taken = inspect.signature(importlib.import_module(benchmark.module).bench).parameters
    given = {OPTIONS[option][0] for option in benchmark.options} | {*benchmark.fixed}
    given |= {"window"} if benchmark.ranks else set()
    assert given <= {*taken}
    required = {
        parameter.name for parameter in taken.values() if parameter.default is parameter.empty
    }
    assert required - given == {"project", "log"}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_names_stages_of_the_graph(name: str) -> None:
    assert {*BENCHMARKS[name].stages} <= {*STAGES}


def test_what_compares_on_validation_alone_takes_no_look_at_test() -> None:
    ranked = {name for name, benchmark in BENCHMARKS.items() if benchmark.ranks}
    assert {name for name in BENCHMARKS if name.endswith("-groups")} <= ranked
    assert not {name for name in ranked if name.endswith("-losses")}
    assert not ranked & {"faults", "reruns", "serving", "training"}
