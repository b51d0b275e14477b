"""Rivals trained on the contradiction, where only a student of one's own can be right."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments.comparison import Contest, names_of
from benchmarks.experiments.groups import CHEAPER, outcome_of, refuse_to_leave_out
from benchmarks.experiments.train_variant import ALL, run
from benchmarks.experiments.variants import (
    ALONE,
    ATTRIBUTES,
    FROM_ATTRIBUTES,
    GENERAL_KINDS,
    GROUP_KINDS,
    NARROW_SEGMENT,
    SEGMENT,
    SHORT,
    TASTE,
    TRIES,
    UNAWARE,
)
from decant.params.types import GENERAL, TEACHER


@pytest.fixture
def found(contested: Contest) -> Any:
    return outcome_of(contested, "demo", "quick")


def test_every_rival_has_its_figures_and_stands_in_the_table(found: Any) -> None:
    kinds = [*GENERAL_KINDS, *GROUP_KINDS]
    for kind in kinds:
        assert 0 <= found.figures[f"rival.{kind}.ndcg@10"]["value"] <= 1
        if kind != GENERAL:
            for name in (ALL, "a", "b"):
                assert found.figures[f"gain.{kind}.{name}"]["low"] is not None
    assert {line.split()[0] for line in found.shown.splitlines()[1:] if line} >= set(kinds)
    assert found.picture.startswith("<?xml")


def test_where_groups_contradict_one_another_a_student_of_ones_own_gains_and_ships(
    found: Any,
) -> None:
    gain = found.figures[f"gain.{SEGMENT}.{ALL}"]
    assert gain["low"] > 0
    assert found.figures[f"shipped.{SEGMENT}"]["value"] == 2
    shipped, all_of_them = (
        found.figures[f"{what}.{SEGMENT}.ndcg@10"]["value"] for what in ("shipped", "rival")
    )
    assert shipped == all_of_them


def test_a_student_that_reads_the_attribute_is_as_good_as_one_of_ones_own(found: Any) -> None:
    reads, general = (
        found.figures[f"rival.{kind}.ndcg@10"]["value"] for kind in (ATTRIBUTES, GENERAL)
    )
    assert reads > general
    assert reads == pytest.approx(found.figures[f"rival.{TEACHER}.ndcg@10"]["value"], abs=0.05)


def test_a_family_that_starts_from_it_is_measured_against_it(found: Any) -> None:
    over = found.figures[f"gain.{FROM_ATTRIBUTES}.over_its_general"]
    assert over["value"] == pytest.approx(0, abs=0.05)
    assert found.figures[f"gain.{FROM_ATTRIBUTES}.{ALL}"]["low"] > 0
    assert f"gain.{SEGMENT}.over_its_general" not in found.figures


def test_seconds_are_of_all_groups_together(contested: Contest, found: Any) -> None:
    each = [json.loads(contested.result(f"{SEGMENT}@{g}").read_text())["seconds"] for g in "ab"]
    assert found.figures[f"seconds.{SEGMENT}"]["value"] == pytest.approx(sum(each), abs=0.1)
    assert f"seconds.{TEACHER}" not in found.figures


def test_the_narrow_student_takes_less(found: Any) -> None:
    narrow, full = (
        found.figures[f"multiply_adds.fewer.{kind}"]["value"] for kind in (NARROW_SEGMENT, SEGMENT)
    )
    assert narrow > full
    assert found.figures[f"multiply_adds.fewer.{GENERAL}"]["value"] == full


def test_a_group_that_needs_no_long_history_is_served_for_less(
    contested: Contest, found: Any
) -> None:
    """Of the contradiction the question before is all there is to know."""
    for group in "ab":
        result = json.loads(contested.result(f"{SHORT}@{group}").read_text())
        assert result["history"] == found.figures[f"{SHORT}.{group}.history"]["value"] == 1
        assert found.figures[f"{SHORT}.{group}.of_requests"]["value"] == 1  # of one event each
        assert found.figures[f"gain.{SHORT}.{group}"]["value"] == 0
    of = {k: found.figures[f"multiply_adds.fewer.{k}"]["value"] for k in (SHORT, GENERAL)}
    assert of[SHORT] > of[GENERAL]
    assert found.figures[f"holds.{SHORT}"]["value"] == 2
    dear = of[SHORT] < CHEAPER * of[GENERAL]
    assert found.figures[f"cheaper.{SHORT}"]["value"] == (0 if dear else 2)


def test_clusters_of_taste_divide_everybody_in_segments(contested: Contest, found: Any) -> None:
    users = np.concatenate(list(contested.groups(TASTE).values()))
    assert sorted(users) == sorted(np.concatenate(list(contested.members.values())))
    assert found.figures[f"rival.{TASTE}.ndcg@10"]["n"] == len(
        json.loads(contested.result(GENERAL).read_text())["test"]["users"]
    )


def test_the_unaware_teacher_reads_all_but_the_attributes(contested: Contest) -> None:
    name, data = contested.teachers[UNAWARE]
    assert data.params.teacher.inputs == ["item"]
    assert data.version != contested.data.version
    assert json.loads(data.result(name).read_text())["version"] == data.version


def test_every_rival_keeps_the_settings_that_the_picking_half_prefers(
    contested: Contest,
) -> None:
    found = json.loads(contested.result(f"{SEGMENT}@a").read_text())
    assert (found["rate"], found["dropout"]) in {(t.rate, t.dropout) for t in TRIES}
    assert found["seconds"] > 0


def test_what_is_done_is_not_trained_again(contested: Contest) -> None:
    path = contested.result(f"{ALONE}@a")
    before = path.stat().st_mtime_ns
    run(contested, f"{ALONE}@a", None)
    assert path.stat().st_mtime_ns == before
    path.write_text(json.dumps({"version": "of other code"}))
    run(contested, f"{ALONE}@a", None)
    assert json.loads(path.read_text())["version"] == contested.version_of(f"{ALONE}@a")


def test_what_is_chosen_and_not_trained_depends_on_the_margin(contested: Contest) -> None:
    params = contested.data.params
    gate = params.gate.model_copy(update={"margin": 0.2})
    data = replace(contested.data, params=params.model_copy(update={"gate": gate}))
    other = replace(contested, data=data)
    assert other.version_of(f"{SHORT}@a") != contested.version_of(f"{SHORT}@a")
    assert other.version_of(f"{SEGMENT}@a") == contested.version_of(f"{SEGMENT}@a")


def test_a_rival_that_does_not_exist_is_named(contested: Contest) -> None:
    with pytest.raises(ValueError, match="no rival `nobody@a`; there are unaware, knowledge, "):
        run(contested, "nobody@a", None)


def test_what_is_left_out_is_neither_trained_nor_shown(contested: Contest) -> None:
    without = replace(contested, without=frozenset({"unaware_labels", "prior", "narrow_segment"}))
    left_out = {name for names in names_of(contested) for name in names} - {
        name for names in names_of(without) for name in names
    }
    kinds = ("unaware_labels", "prior", "narrow_segment")
    assert left_out == {UNAWARE, "unaware-knowledge"} | {f"{k}@{g}" for k in kinds for g in "ab"}
    found = outcome_of(without, "demo", "quick")
    assert not any(kind in figure.split(".") for figure in found.figures for kind in kinds)
    assert found.picture


@pytest.mark.parametrize(
    ("without", "told"),
    [
        (["nobody"], "no kind `nobody`; there are undistilled, general"),
        (["general"], "`general` cannot be left out, longer, segment"),
        (["attributes"], "`attributes` cannot be left out, from_attributes starts from it"),
        (["undistilled"], "`undistilled` cannot be left out, the others are compared with it"),
    ],
)
def test_what_others_need_cannot_be_left_out(without: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=f"^--without: {told}"):
        refuse_to_leave_out(without)


def test_a_kind_can_be_left_out_with_those_that_start_from_it() -> None:
    refuse_to_leave_out(["attributes", "from_attributes", "prior"])
