"""Students on data of which the right answer is known (see the top of conftest.py)."""

from copy import deepcopy
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation import fit as fits
from decant.distillation.start import start_from_items, start_from_layers
from decant.distillation.student import train_student
from decant.evaluation.metrics import ndcg
from decant.evaluation.scoring import OnnxScorer, rank
from decant.features.holdout import decision_cases, in_selection, of_users
from decant.features.sequences import TEST, VALIDATION, cases
from decant.models import bundle
from decant.models.recommender import Architecture, Recommender
from decant.runtime.session import Model
from decant.training.batches import training_windows
from decant.training.loop import Plan
from decant.training.state import Report
from decant.training.supervision import Material, Supervision, mixture, supervise
from decant.training.validate import TorchScorer

torch.set_num_threads(1)


def quality(family: Any, model: Any, group: str | None = None) -> float:
    """NDCG@10 on the test window, of everybody or of one group."""
    known = family.known
    chosen = cases(known.sequences, TEST, 4)
    if group is not None:
        chosen = of_users(chosen, known.members[group])
    items = len(known.encoder.items)
    ranking = rank(model, known.sequences, chosen, items, k=10, exclude_seen=True)
    return float(ndcg(ranking.ranks, 10).mean())


def hop(family: Any, student: str, name: str) -> OnnxScorer:
    graph = Model(family.compressed / student / name / bundle.GRAPH)
    return OnnxScorer(graph, family.known.encoder.max_length, as_served=True)


def test_teacher_and_general_learn_the_circle(cycle_family: Any) -> None:
    for name in ("teacher", "general"):
        assert quality(cycle_family, TorchScorer(cycle_family.models[name])) > 0.9, name


def test_a_teacher_that_reads_the_group_learns_the_contradiction(family: Any) -> None:
    assert quality(family, TorchScorer(family.models["teacher"])) > 0.95


def test_general_cannot_know_which_answer_it_is(family: Any) -> None:
    # at best both answers come first and second, each right half of the time
    assert quality(family, TorchScorer(family.models["general"])) < 0.9


def test_a_segments_student_beats_general_where_groups_contradict_one_another(
    family: Any,
) -> None:
    general = TorchScorer(family.models["general"])
    for name in ("a", "b"):
        own = quality(family, TorchScorer(family.models[name]), name)
        assert own > 0.95
        assert own > quality(family, general, name) + 0.1


def test_a_segments_student_is_for_its_own_segment(family: Any) -> None:
    assert quality(family, TorchScorer(family.models["a"]), "b") < 0.9


def test_a_segments_hops_keep_what_it_learned(family: Any) -> None:
    for name in ("pruned", "int8"):
        assert quality(family, hop(family, "a", name), "a") > 0.95


def test_a_segments_student_starts_from_general(family: Any) -> None:
    for name in ("a", "b"):
        start = family.reports[name].start_ndcg
        assert start is not None and start < 0.9


def test_general_has_seen_no_attribute(family: Any) -> None:
    assert family.models["general"].architecture.inputs == ("item",)


def test_general_is_taught_by_everybody(family: Any) -> None:
    supervision = supervise(family.material, family.settings, None)
    windows = supervision.windows(np.random.default_rng(0))
    everything = training_windows(family.known.sequences, family.known.encoder.max_length)
    assert np.array_equal(windows.user, everything.user)
    assert supervision.l2_sp == 0.0


def test_a_segment_is_taught_by_its_own_users_and_a_few_guests(family: Any) -> None:
    members = family.known.members["a"]
    windows = training_windows(family.known.sequences, 4)
    draw = mixture(windows, members, 0.25)
    own = int(np.isin(windows.user, members).sum())
    first, second = (draw(np.random.default_rng(seed)) for seed in (0, 1))
    for drawn in (first, second):
        assert np.isin(drawn.user, members).sum() == own
        assert len(drawn) == own + round(0.25 * own)
        assert len(np.unique(drawn.stop)) == len(drawn)
    assert not np.array_equal(first.user, second.user)


def test_there_are_no_more_guests_than_others(family: Any) -> None:
    windows = training_windows(family.known.sequences, 4)
    everybody = np.arange(family.known.sequences.users)
    assert len(mixture(windows, everybody, 1.0)(np.random.default_rng(0))) == len(windows)
    assert len(mixture(windows, everybody[:0], 1.0)(np.random.default_rng(0))) == 0


def test_the_cases_that_pick_are_the_segments_and_none_of_those_that_decide(
    family: Any,
) -> None:
    sequences = family.known.sequences
    deciding = set(decision_cases(sequences, 4).position.tolist())
    held = set(cases(sequences, TEST, 4).position.tolist())
    for members in (None, family.known.members["a"]):
        picks = supervise(family.material, family.settings, members).selection
        assert len(picks)
        assert in_selection(picks.user).all()
        assert not set(picks.position.tolist()) & (deciding | held)
        assert members is None or np.isin(picks.user, members).all()
    both = len(supervise(family.material, family.settings, None).selection) + len(deciding)
    assert both == len(cases(sequences, VALIDATION, 4))


def test_settings_reach_the_supervision(family: Any) -> None:
    names = ["soft", "rce_kd", "stratified", "states", "attention_relation"]
    weights = dict(zip(names, [0.125, 0.25, 0.0625, 3.0, 4.0], strict=True))
    update = {f"{name}_weight": weight for name, weight in weights.items()}
    update |= {"temperature": 2.5, "l2_sp": 0.75, "relation_heads": 2}
    settings = family.settings.model_copy(update=update)
    material: Material = replace(family.material, cases_per_user=1)
    knowledge = replace(material.knowledge, states=np.zeros(0), relations=np.zeros(0))
    material = replace(material, knowledge=knowledge)
    supervision = supervise(material, settings, family.known.members["a"])
    assert tuple(weights.values()) == astuple(supervision.weights)
    assert (supervision.temperature, supervision.l2_sp, supervision.relation_heads) == (
        2.5,
        0.75,
        2,
    )
    assert supervision.knowledge is material.knowledge
    assert supervision.exclude_seen is family.known.encoder.exclude_seen


@pytest.mark.parametrize("name", ["states", "attention_relation"])
def test_a_loss_whose_knowledge_was_not_kept_is_an_error(family: Any, name: str) -> None:
    settings = family.settings.model_copy(update={f"{name}_weight": 1.0})
    with pytest.raises(ValueError, match=rf"distill\.{name}_weight needs knowledge\."):
        supervise(family.material, settings, None)
    assert supervise(replace(family.material, knowledge=None), settings, None)


def test_a_student_starts_from_the_layers_that_are_chosen() -> None:
    deep, flat = (
        Architecture(
            items=9, dimension=8, heads=(2,) * layers, head_width=4, hidden=(12,) * layers,
            max_length=6, inputs=inputs, behaviours=3,
        )
        for layers, inputs in ((3, ("item",)), (2, ("item", "behaviour")))
    )  # fmt: skip
    teacher, student = Recommender(deep), Recommender(flat)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(torch.randn_like(parameter))
    before = student.events["behaviours"].weight.clone()
    assert start_from_layers(student, teacher, [2, 0]) == ("events.behaviours.weight",)
    assert torch.equal(student.item.weight[1:], teacher.item.weight[1:])
    assert torch.equal(student.events["behaviours"].weight, before)
    for own, theirs in ((0, 2), (1, 0)):
        pairs = zip(student.blocks[own].parameters(), teacher.blocks[theirs].parameters(),
                    strict=True)  # fmt: skip
        assert all(torch.equal(a, b) for a, b in pairs)
    assert len(teacher.blocks) == 3
    with torch.no_grad():
        student.item.weight.zero_()
    assert teacher.item.weight.any()


def test_a_student_with_its_teachers_layers_begins_where_the_teacher_is(family: Any) -> None:
    teacher = family.models["teacher"]
    shape = {"dimension": 16, "heads": 2, "layers": 2, "inputs": ["item", "attributes"]}
    settings = family.settings.model_copy(
        update={**shape, "init_layers": [0, 1], "epochs": 1, "learning_rate": 1e-6}
    )
    started, _ = train_student(family.material, settings, 1, log=None, teacher=teacher)
    scratch, _ = train_student(family.material, settings, 1, log=None)
    assert quality(family, TorchScorer(started)) > 0.95
    assert quality(family, TorchScorer(scratch)) < 0.6


def wide(width: int, vectors: bool = False) -> Recommender:
    """An untrained model of 40 items."""
    shape = Architecture(
        items=40, dimension=width, heads=(2,), head_width=width // 2, hidden=(12,), max_length=6,
        inputs=("item",), vector_widths=(("text", 5),) if vectors else (),
    )  # fmt: skip
    return Recommender(shape, {"text": torch.randn(41, 5)} if vectors else None)


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("width", [4, 16, 24])
def test_a_student_of_any_width_starts_with_items_as_far_apart_as_its_teachers(
    width: int, vectors: bool
) -> None:
    teacher, student = wide(16), wide(width, vectors)
    few = torch.tensor([3.0] * 4 + [0.1] * 12)  # directions in which items differ
    with torch.no_grad():
        teacher.item.weight.copy_(few * torch.randn(41, 16, generator=generator(0)))
        teacher.bias.copy_(torch.randn(41, generator=generator(1)))
    share = start_from_items(student, teacher)
    assert 0.99 < share <= 1
    assert torch.equal(student.bias, teacher.bias)
    ours, theirs = (torch.pdist(m.item_embeddings()[1:, :16].detach()) for m in (student, teacher))
    assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.99
    assert (width < 16) or torch.allclose(ours, theirs, atol=1e-5)
    spread = student.item_embeddings()[1:, :16].std(), teacher.item_embeddings()[1:].std()
    torch.testing.assert_close(*spread, rtol=1e-3, atol=0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_general_student_starts_from_its_teachers_items_if_asked_to(family: Any) -> None:
    teacher = family.models["teacher"]
    common = {"epochs": 1, "learning_rate": 1e-9, "dimension": 8, "heads": 2}
    asked, not_asked = (
        family.settings.model_copy(update={**common, "init_item_embeddings": start})
        for start in (True, False)
    )
    started, _ = train_student(family.material, asked, 1, log=None, teacher=teacher)
    scratch, _ = train_student(family.material, not_asked, 1, log=None, teacher=teacher)
    assert torch.allclose(started.bias, teacher.bias, atol=1e-6)
    assert not torch.allclose(scratch.bias, teacher.bias, atol=1e-6)


def test_only_a_student_that_starts_from_another_is_held_to_it_and_has_a_segments_schedule(
    family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Supervision] = []
    plans: list[Plan] = []

    def note(_: Any, sequences: Any, supervision: Supervision, own: Any, plan: Plan) -> Report:
        seen.append(supervision)
        plans.append(plan)
        return Report()

    monkeypatch.setattr(fits, "train", note)
    rates = {"learning_rate": 0.3, "segment_learning_rate": 0.2, "epochs": 5, "segment_epochs": 4}
    settings = family.settings.model_copy(update={"l2_sp": 0.5, **rates})
    members = family.known.members["a"]
    train_student(family.material, settings, 1, members=members, log=None)
    start = deepcopy(family.models["general"])
    train_student(family.material, settings, 1, start=start, members=members, log=None)
    assert [supervision.l2_sp for supervision in seen] == [0.0, 0.5]
    assert [(p.epochs, p.learning_rate, p.keep_start) for p in plans] == [
        (5, 0.3, False), (4, 0.2, True),
    ]  # fmt: skip


def test_a_student_may_read_less_than_the_one_it_goes_on_from(family: Any) -> None:
    settings = family.settings.model_copy(update={"max_length": 1, "segment_epochs": 0})
    start = deepcopy(family.models["general"])
    model, report = train_student(family.material, settings, 1, start=start, log=None)
    assert model.architecture.max_length == 1
    assert (report.best_epoch, report.ndcg) == (-1, [])
    history = {"items": torch.tensor([[3]])}
    torch.testing.assert_close(model(history), family.models["general"](history))


def test_a_new_student_reads_as_much_as_its_settings_say(family: Any) -> None:
    settings = family.settings.model_copy(update={"max_length": 2, "epochs": 1})
    model, _ = train_student(family.material, settings, 1, log=None)
    assert model.architecture.max_length == 2


def test_a_segments_prior_moves_the_item_bias_towards_what_its_users_take(family: Any) -> None:
    update = {"segment_epochs": 0, "prior_weight": 1.0, "prior_shrinkage": 1.0}
    settings = family.settings.model_copy(update=update)
    start, members = family.models["general"], family.known.members["a"]
    model, _ = train_student(
        family.material, settings, 1, start=deepcopy(start), members=members, log=None
    )
    moved = (model.bias - start.bias).detach()
    assert moved[7:13].min() > 0 > moved[13:19].max()  # group a answers with items 7 to 12
