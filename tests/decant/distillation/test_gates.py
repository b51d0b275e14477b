"""Known answers: laws in which experts are right, wrong, or right only for a while."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation import gate_evidence, gates
from decant.distillation.gate_evidence import (
    combined,
    enlarged,
    gate_cases,
    gather_evidence,
    ndcg_of,
)
from decant.distillation.gate_fit import calibrate, fit_gates
from decant.distillation.gates import (
    CONSTANT,
    GATED,
    INHERITED,
    NETWORK,
    REFITTED,
    add_experts,
    constants,
    expert_line,
    refit_gates,
    standardise,
)
from decant.distillation.tables import pack
from decant.evaluation.baselines.mixture import count
from decant.evaluation.metrics import mean_over_users, ndcg
from decant.evaluation.scoring import rank
from decant.features.holdout import in_selection
from decant.features.sequences import TEST, Cases, Sequences, cases, training_counts
from decant.models.experts import ExpertShape
from decant.models.recommender import Architecture, Recommender
from decant.params.types import EXPERTS
from decant.training.supervision import Material
from decant.training.validate import TorchScorer
from tests.fixtures.known_data import make_encoder, make_sequences

torch.set_num_threads(1)
ITEMS, LENGTH, USERS = 60, 40, 160
SHAPE = ExpertShape(("chain", "popularity"), successors=8, factors=0, clock=False)
TRAINED, VALIDATED = 30, 36  # events before the validation window, and before the test window


def network(items: int = ITEMS) -> Recommender:
    """A network that knows nothing."""
    torch.manual_seed(0)
    shape = Architecture(items, 8, (1,), 8, (8,), LENGTH, ("item",))
    return Recommender(shape).eval()


def material(users: list[list[int]], items: int = ITEMS, **changes: Any) -> Material:
    """Users with these items; the first `TRAINED` are trained on, the last are the test."""
    split = np.tile([TRAINED, VALIDATED], (len(users), 1))
    encoder = make_encoder(items, LENGTH, exclude_seen=False, gaps=False)
    return Material(encoder, make_sequences(users, split=split, **changes), {}, None, 6)


def popular_and_private(seed: int = 0) -> Material:
    """Half of all events are of the 4 popular items, the others of items that hardly anybody takes,
    so that each step of a user is unlike all others."""
    rng = np.random.default_rng(seed)
    users = [
        np.where(
            rng.random(LENGTH) < 0.5,
            rng.integers(1, 5, LENGTH),
            rng.integers(5, 2 * ITEMS * 10, LENGTH),
        ).tolist()
        for _ in range(USERS)
    ]
    return material(users, items=2 * ITEMS * 10)


def fitted(given: Material, chosen: Cases, shape: ExpertShape = SHAPE) -> Recommender:
    """A model with tables of the training events, and gates fitted to these cases."""
    items = len(given.encoder.items)
    model = enlarged(network(items), shape)
    assert model.experts is not None
    pack(model.experts, count(given.sequences, items), training_counts(given.sequences, items))
    evidence = gather_evidence(model, given, chosen)
    standardise(model.experts, evidence.signals)
    fit_gates(model.experts, evidence, 0, gated=True)
    return model


def test_quality(given: Material, model: Recommender) -> float:
    """NDCG@10 on the test window of users whom no gate was fitted to."""
    chosen = cases(given.sequences, TEST, 6)
    chosen = chosen.take(np.flatnonzero(~in_selection(chosen.user)))
    items = len(given.encoder.items)
    ranking = rank(TorchScorer(model), given.sequences, chosen, items, k=10, exclude_seen=False)
    return mean_over_users(ndcg(ranking.ranks, 10), chosen.user)


test_quality.__test__ = False  # type: ignore[attr-defined]


def positions(given: Material, first: int, last: int) -> Cases:
    """The events `first` to `last` of every user of the selection half."""
    users = np.flatnonzero(in_selection(np.arange(given.sequences.users)))
    place = np.arange(first, last)
    start = np.asarray(given.sequences.offsets)[users]
    return Cases(np.repeat(users, len(place)), (start[:, None] + place).ravel())


def test_gates_that_saw_what_the_tables_counted_trust_them_blindly_and_ours_do_not() -> None:
    given = popular_and_private()
    ours = fitted(given, gate_cases(given.sequences, len(given.encoder.items), exclude_seen=False))
    blind = fitted(given, positions(given, 5, TRAINED))
    assert mean_gate(blind, given) > 3 * mean_gate(ours, given)
    assert test_quality(given, ours) > 1.05 * test_quality(given, blind)


def mean_gate(model: Recommender, given: Material) -> float:
    """The mean weight of the chain on unseen events."""
    experts = model.experts
    assert experts is not None
    batch = gate_evidence.inputs(model, given.sequences, positions(given, TRAINED, VALIDATED))
    return float(experts.gates(experts.answer(batch)[1])[:, 1].mean())


def drifting() -> Material:
    """Until the validation window most items are followed by the next one; then only popular items
    are taken, in any order."""
    rng = np.random.default_rng(1)
    users = []
    for _ in range(USERS):
        items = [int(rng.integers(1, ITEMS + 1))]
        for place in range(1, LENGTH):
            walks = place < TRAINED and rng.random() < 0.7
            items.append(items[-1] % ITEMS + 1 if walks else 7 * int(rng.integers(1, 9)))
        users.append(items)
    return material(users)


def test_gates_fitted_to_the_time_of_the_tables_miss_a_drift_and_ours_do_not() -> None:
    """The others are fitted to users whom no table has seen, but at the time of the tables."""
    given = drifting()
    unseen = replace(given, sequences=without(given.sequences))
    elsewhere = fitted(unseen, positions(given, 5, TRAINED))
    ours = fitted(given, gate_cases(given.sequences, ITEMS, exclude_seen=False))
    assert mean_gate(elsewhere, given) > 3 * mean_gate(ours, given)
    assert test_quality(given, ours) > 1.1 * test_quality(given, elsewhere)


def without(sequences: Sequences) -> Sequences:
    """The same with no training events of the selection half."""
    split = np.array(sequences.split)
    split[in_selection(np.arange(sequences.users)), 0] = 0
    return replace(sequences, split=split)


def walking(rate: float = 0.8) -> Material:
    """Each item is mostly followed by the next one."""
    rng = np.random.default_rng(2)
    users = []
    for _ in range(USERS):
        items = [int(rng.integers(1, ITEMS + 1))]
        for _ in range(LENGTH - 1):
            following = items[-1] % ITEMS + 1
            items.append(following if rng.random() < rate else int(rng.integers(1, ITEMS + 1)))
        users.append(items)
    return material(users)


def test_an_expert_that_knows_the_law_is_used() -> None:
    lines: list[str] = []
    model, choice = add_experts(network(), walking(), SHAPE, 0, lines.append)
    assert choice is not None and choice["kind"] in (CONSTANT, GATED)
    assert model.experts is not None
    assert choice["ndcg"][choice["kind"]] > 0.75 > 0.3 > choice["ndcg"][NETWORK]
    assert test_quality(walking(), model) == pytest.approx(choice["ndcg"][choice["kind"]], abs=0.1)
    assert "chain" in choice["constant"] and choice["kind"] in lines[-1]
    assert f"**{choice['kind']}**" in expert_line(choice)


@pytest.mark.parametrize("sharper", [1.0, 4.0, 0.05])
def test_calibrated_scores_are_as_likely_whatever_their_scale(sharper: float) -> None:
    given = walking()
    chosen = gate_cases(given.sequences, ITEMS, exclude_seen=False)
    model, _ = add_experts(network(), given, SHAPE, 0, lambda line: None)
    assert model.experts is not None
    scale = model.experts.scale.item()
    model.experts.base *= sharper
    model.experts.outer *= sharper
    with torch.no_grad():
        model.item.weight.zero_()
        model.bias.zero_()
    calibrate(model, given, chosen)
    calibrated = model.experts.scale.item()
    assert calibrated * sharper == pytest.approx(scale, rel=0.1)
    target = np.asarray(given.sequences.items)[chosen.position].astype(np.int64)

    def missed(factor: float) -> float:
        with torch.no_grad():
            scores = torch.from_numpy(TorchScorer(model)(given.sequences, chosen)).clone()
        scores[:, 0] = -torch.inf
        logits = scores * factor * calibrated
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(target)))

    assert missed(1.0) < min(missed(0.7), missed(1.4))


def test_experts_that_know_nothing_are_left_out() -> None:
    """Everybody turns to one item, which the network knows and no history tells."""
    rng = np.random.default_rng(3)
    users = [[*rng.integers(2, ITEMS + 1, TRAINED).tolist(), *[1] * 10] for _ in range(USERS)]
    model = network()
    with torch.no_grad():
        model.item.weight.zero_()
        model.bias[1] = 5.0
    same, choice = add_experts(model, material(users), SHAPE, 0, lambda line: None)
    assert choice is not None and choice["kind"] == NETWORK
    assert choice["ndcg"][NETWORK] == 1
    assert same is model and same.experts is None


def test_with_few_users_the_network_stays_alone() -> None:
    few = material([list(range(1, LENGTH + 1)) for _ in range(10)])
    lines: list[str] = []
    model, choice = add_experts(network(), few, SHAPE, 0, lines.append)
    assert model.experts is None and choice is not None and choice["kind"] == NETWORK
    assert "fewer than 20" in lines[0]


def test_without_experts_in_the_settings_nothing_happens() -> None:
    model = network()
    same, choice = add_experts(model, walking(), replace(SHAPE, names=()), 0, print)
    assert same is model and choice is None and expert_line(None) == ""


def test_the_same_seed_gives_the_same_gates() -> None:
    one, other = (add_experts(network(), walking(), SHAPE, 3, lambda line: None) for _ in range(2))
    assert one[1] == other[1]
    for name, weight in one[0].state_dict().items():
        torch.testing.assert_close(weight, other[0].state_dict()[name], rtol=0, atol=0)


def test_the_network_is_not_touched() -> None:
    model = network()
    larger, _ = add_experts(model, walking(), SHAPE, 0, lambda line: None)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, larger.state_dict()[name]), name


def walking_or_popular() -> tuple[Material, np.ndarray]:
    """Everybody mostly walks and often takes a popular item; from the validation window on, a group
    of users takes popular items only. The material, and the group."""
    rng = np.random.default_rng(2)
    users, group = [], np.arange(0, 2 * USERS, 5)
    for user in range(2 * USERS):
        items = [int(rng.integers(1, ITEMS + 1))]
        for place in range(1, LENGTH):
            popular = rng.random() < (1.0 if user in group and place >= TRAINED else 0.4)
            items.append(int(rng.integers(1, 4)) if popular else items[-1] % ITEMS + 1)
        users.append(items)
    return material(users), group


def test_a_group_with_another_law_gets_other_gates() -> None:
    given, group = walking_or_popular()
    general, _ = add_experts(network(), given, SHAPE, 0, lambda line: None)
    assert general.experts is not None
    before = constants(general.experts)
    choice = refit_gates(general, given, group, 0, lambda line: None)
    assert choice is not None and choice["kind"] == REFITTED and choice["users"] >= 20
    assert choice["ndcg"][REFITTED] > choice["ndcg"][INHERITED]
    after = constants(general.experts)
    assert after == choice["constant"]
    assert after["chain"] < before["chain"] and after["popularity"] > before["popularity"]


def test_gates_that_serve_a_group_no_better_stay_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, group = walking_or_popular()
    general, _ = add_experts(network(), given, SHAPE, 0, lambda line: None)
    assert general.experts is not None
    before = [buffer.clone() for buffer in general.experts.gate_buffers]
    monkeypatch.setattr(gates, "cross_validated", lambda *_: 0.1)
    choice = refit_gates(general, given, group, 0, lambda line: None)
    assert choice is not None and choice["kind"] == INHERITED
    for buffer, former in zip(general.experts.gate_buffers, before, strict=True):
        assert torch.equal(buffer, former)


def test_a_model_without_experts_has_no_gates_to_fit() -> None:
    assert refit_gates(network(), walking(), np.arange(40), 0, print) is None


def test_a_target_that_does_not_compete_is_a_miss() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [2.0, 2.0, 1.0]])
    assert ndcg_of(scores, torch.tensor([1, -1, 0])).tolist() == pytest.approx(
        [1 / np.log2(3), 0, 1 / np.log2(3)]
    )


def test_among_competing_items_scores_are_those_of_the_model() -> None:
    given = walking()
    model = fitted(given, gate_cases(given.sequences, ITEMS, exclude_seen=False))
    assert model.experts is not None
    chosen = positions(given, TRAINED, TRAINED + 1)
    evidence = gather_evidence(model, given, chosen)
    among = ndcg_of(combined(model.experts, evidence), evidence.target)
    whole = rank(TorchScorer(model), given.sequences, chosen, ITEMS, k=10, exclude_seen=False).ranks
    assert among == pytest.approx(ndcg(whole, 10), abs=1e-6)


def test_gate_cases_are_of_the_selection_half_and_have_a_target_that_can_be_recommended() -> None:
    given = walking()
    chosen = gate_cases(given.sequences, ITEMS, exclude_seen=True)
    assert in_selection(chosen.user).all() and len(chosen)
    for user, position in zip(chosen.user, chosen.position, strict=True):
        start = given.sequences.offsets[user]
        assert TRAINED <= position - start < VALIDATED
        assert given.sequences.items[position] not in given.sequences.items[start:position]


def test_no_user_is_judged_by_gates_that_were_fitted_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = walking()
    model = fitted(given, gate_cases(given.sequences, ITEMS, exclude_seen=False))
    assert model.experts is not None
    chosen = gate_cases(given.sequences, ITEMS, exclude_seen=False)
    evidence = gather_evidence(model, given, chosen)
    seen: list[set[int]] = []
    judged: list[set[int]] = []

    def note_fit(experts: Any, part: Any, *others: Any, **more: Any) -> None:
        seen.append(set(part.user.tolist()))

    def note_scores(experts: Any, part: Any) -> torch.Tensor:
        judged.append(set(part.user.tolist()))
        return combined(experts, part)

    monkeypatch.setattr(gates, "fit_gates", note_fit)
    monkeypatch.setattr(gates, "combined", note_scores)
    gates.cross_validated(model.experts, evidence, GATED, 0)
    assert len(seen) == len(judged) == gates.FOLDS
    for fitted_to, asked in zip(seen, judged, strict=True):
        assert fitted_to and asked and not fitted_to & asked
    assert set.union(*judged) == set(chosen.user.tolist())


def test_constant_weights_are_the_same_for_every_request() -> None:
    given = walking()
    model = fitted(given, gate_cases(given.sequences, ITEMS, exclude_seen=False))
    assert model.experts is not None
    chosen = gate_cases(given.sequences, ITEMS, exclude_seen=False)
    fit_gates(model.experts, gather_evidence(model, given, chosen), 0, gated=False)
    signals = torch.randn(5, len(model.experts.shape.signals))
    weights = model.experts.gates(signals)
    assert torch.equal(weights, weights[:1].expand_as(weights))
    assert weights[0, 1] > gate_evidence.START


EVERYTHING = ExpertShape(EXPERTS, 2, 2, clock=True)


@pytest.mark.parametrize("law", ["one moment", "two items", "one item a user", "long baskets"])
def test_odd_logs_get_finite_scores_from_every_expert(law: str) -> None:
    rng = np.random.default_rng(3)
    items = 2 if law == "two items" else ITEMS
    users = [rng.integers(1, items + 1, LENGTH).tolist() for _ in range(60)]
    if law == "one item a user":
        users = [[user[0]] * LENGTH for user in users]
    events = np.arange(60 * LENGTH)
    number = {"one moment": events // LENGTH, "long baskets": events // (LENGTH // 2)}
    given = material(users, items=items, baskets=number.get(law, events))
    times = np.zeros(len(events)) if law == "one moment" else 60.0 * np.asarray(events)
    given = replace(given, sequences=replace(given.sequences, times=times))
    shape = replace(EVERYTHING, successors=min(2, items))
    model = gates.fitted(network(items), given, shape, GATED, 0)
    chosen = cases(given.sequences, TEST, 6)
    scores = TorchScorer(model)(given.sequences, chosen)
    assert np.isfinite(scores).all()
    if law == "one item a user":
        own = np.array([user[0] for user in users])
        assert (scores[:, 1:].argmax(1) + 1 == own[chosen.user]).mean() > 0.9


def test_constant_weights_need_no_signals_and_rank_as_before() -> None:
    given = walking()
    chosen = gate_cases(given.sequences, ITEMS, exclude_seen=False)
    model = fitted(given, chosen, replace(SHAPE, clock=True))
    assert model.experts is not None
    fit_gates(model.experts, gather_evidence(model, given, chosen), 0, gated=False)
    model.experts.base[0] = 0.5
    simpler = gates.of_kind(model, CONSTANT)
    assert simpler.architecture.request_inputs == ("items", "lags")
    one, other = (TorchScorer(m)(given.sequences, chosen) for m in (model, simpler))
    np.testing.assert_allclose(one / model.experts.base[0].item(), other, rtol=1e-4, atol=1e-5)
    assert gates.of_kind(model, GATED) is model


@pytest.mark.parametrize(
    ("gated", "chosen"), [(0.504, CONSTANT), (0.506, GATED), (0.4, CONSTANT), (0.5, CONSTANT)]
)
def test_experts_and_gates_have_to_be_worth_their_operators(gated: float, chosen: str) -> None:
    quality = {NETWORK: 0.3, CONSTANT: 0.5, GATED: gated}
    assert gates.best(quality, lambda line: None) == chosen
    assert gates.best({NETWORK: 0.6, CONSTANT: 0.5, GATED: 0.55}, lambda line: None) == NETWORK
    for constant, expected in ((0.504, NETWORK), (0.506, CONSTANT)):
        quality = {NETWORK: 0.5, CONSTANT: constant, GATED: constant}
        assert gates.best(quality, lambda line: None) == expected


def test_a_group_of_a_student_with_constant_weights_keeps_them_constant() -> None:
    given = walking()
    constant = gates.fitted(network(), given, SHAPE, CONSTANT, 0)
    choice = refit_gates(constant, given, np.arange(USERS), 0, lambda line: None)
    assert choice is not None and not choice["clock"]
    assert constant.experts is not None and not constant.experts.outer.any()
