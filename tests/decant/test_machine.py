"""The machine is named by its processor."""

from pathlib import Path

import pytest

from decant.machine import cpu_model, machine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor : 0\nmodel name\t: Fast @ 2 GHz\nmodel name\t: Other\n",
            "Fast @ 2 GHz",
        ),
        ("model name\t:\nmodel name\t: Second\n", "Second"),
    ],
)
def test_a_processor_is_known_by_its_name(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_model(tmp_path / "cpuinfo") == expected


def test_without_a_name_it_is_known_by_its_architecture(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "missing")


def test_the_machine_has_no_name_of_its_own() -> None:
    assert set(machine()) == {"cpu", "cores", "platform", "python"}
