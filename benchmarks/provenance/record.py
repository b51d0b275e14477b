"""How a benchmark's figures came about, recorded beside them."""

from dataclasses import asdict, replace
from typing import Any

import yaml

from benchmarks.catalogue import Benchmark
from benchmarks.harness.checkout import Clone
from benchmarks.provenance.ingredients import (
    PACKAGES,
    Ingredients,
    data_in_lock,
    ingredients,
)
from benchmarks.provenance.settings import Chosen, read_by, settings_of
from benchmarks.provenance.trainings import Trainings, together
from decant.machine import machine
from decant.release.provenance import version
from tasks.runner.code_digest import Code


class Provenance:
    """The record of one measurement: created in a fresh clone, completed when it is measured."""

    def __init__(self, project: Clone, benchmark: Benchmark, chosen: Chosen) -> None:
        self.project, self.benchmark, self.chosen = project, benchmark, chosen
        self.given = yaml.safe_load((project.root / "params.yaml").read_text(encoding="utf-8"))
        self.made_of = ingredients(Code(project.root, PACKAGES), benchmark, chosen)

    def complete(self, trained: Trainings) -> dict[str, Any]:
        """The record as JSON; `trained`: the trainings behind the figures.

        In a clone that stays, settings and data are those that the stages have read.
        """
        made_of = self._measured() if self.benchmark.kept else self.made_of
        installed = {name: version(name) or pin for name, pin in made_of.libraries.items()}
        made_of = replace(
            made_of, libraries={name: v.partition("+")[0] for name, v in installed.items()}
        )
        return {
            "key": made_of.key(),
            **asdict(made_of),
            "chosen": self.chosen.as_json(),
            "machine": machine(),
            "trained": together(trained),
        }

    def _measured(self) -> Ingredients:
        root = self.project.root
        written = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        settings = read_by(root, self.benchmark, written)
        expected = settings_of(root, self.benchmark, self.chosen, self.given)
        self.chosen = replace(self.chosen, users=settings == expected)
        place = f"data/raw/{self.benchmark.source}"
        return replace(self.made_of, settings=settings, data=data_in_lock(root, place))
