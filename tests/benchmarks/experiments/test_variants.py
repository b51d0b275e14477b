"""Variants are students that params.yaml can hold."""

from pathlib import Path

import pytest
import yaml

from benchmarks.experiments.variants import SEGMENT, compare_groups, compare_losses
from decant.params.load import Params, load_params, parse_params

REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = load_params(REPOSITORY / "params.yaml")


def with_students(params: Params, students: dict[str, dict[str, object]]) -> Params:
    """The settings with other students, as they are read back from YAML."""
    changed = {**params.model_dump(mode="json", by_alias=True), "students": students}
    return parse_params(yaml.safe_load(yaml.safe_dump(changed)))


def aware() -> Params:
    """Settings whose students read the attributes."""
    distill = COMMITTED.distill
    inputs = {"inputs": [*distill.inputs, "attributes"]}
    return COMMITTED.model_copy(update={"distill": distill.model_copy(update=inputs)})


@pytest.mark.parametrize("params", [COMMITTED, aware()], ids=["blind", "aware"])
def test_the_students_of_a_comparison_are_a_family_in_which_the_presets_serve(
    params: Params,
) -> None:
    comparison = compare_groups(params)
    family = with_students(params, comparison.students)
    assert set(family.segments) == set(params.segments)
    expected = {s: g for k in comparison.groups.values() for g, s in k.items() if s != g}
    expected |= dict.fromkeys(comparison.general, "general")
    assert family.variants == expected
    for name in params.students:
        assert family.settings_of(name) == params.distill
    assert set(comparison.texts) == {"teacher", "general", *comparison.general, *comparison.groups}


def test_a_variant_differs_in_what_its_name_says() -> None:
    family = with_students(COMMITTED, compare_groups(COMMITTED).students)
    group = next(iter(COMMITTED.segments))
    assert family.settings_of("narrow").dimension == 0.75 * COMMITTED.distill.dimension
    assert family.students["undistilled"].labels == "hard"
    assert "attributes" in family.settings_of("attributes").inputs
    assert family.students[f"{group}_from_attributes"].init == "attributes"
    assert family.settings_of(f"{group}_adapters").adapter_rank > 0
    assert family.settings_of(f"{group}_short").max_length == COMMITTED.features.max_length // 4
    assert family.students[f"{group}_short"].init == group
    assert family.students[f"{group}_scratch"].init is None


def test_where_students_read_the_attributes_the_other_variant_does_not() -> None:
    comparison = compare_groups(aware())
    assert "attributes" not in comparison.general
    inputs = comparison.general["attribute_blind"].student["overrides"]["inputs"]
    assert "attributes" not in inputs
    assert "from_attribute_blind" in comparison.groups


def test_a_variant_that_is_left_out_is_no_student() -> None:
    comparison = compare_groups(COMMITTED, ("prior", "cvar"))
    assert not [name for name in comparison.students if "prior" in name or "cvar" in name]
    assert {"prior", "cvar"} & set(comparison.texts) == set()


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("narrow", "leave out narrow_segment too, which start from `narrow`"),
        ("general", "`general` is the reference"),
        (SEGMENT, "`segment` is the reference"),
        ("priro", "no variant `priro`; known: undistilled"),
    ],
)
def test_a_variant_that_cannot_be_left_out_is_an_error(without: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_groups(COMMITTED, (without,))


def test_a_comparison_of_losses_changes_nothing_but_the_losses() -> None:
    kept = {"knowledge": COMMITTED.knowledge.model_copy(update={"states": True, "relations": True})}
    params = COMMITTED.model_copy(update=kept)
    family = with_students(params, compare_losses(params).students)
    assert set(family.variants.values()) == {"general"}
    losses = {
        *(
            "soft_weight",
            "rce_kd_weight",
            "stratified_weight",
            "states_weight",
            "attention_relation_weight",
        ),
        *("temperature", "init_item_embeddings", "init_layers"),
    }
    for name in family.variants:
        own = family.settings_of(name).model_dump(exclude=losses)
        assert own == params.distill.model_dump(exclude=losses), name
