from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from decant.evaluation.held_back import hold_back
from decant.features.encode import Encoder
from decant.features.sequences import TEST, VALIDATION, Sequences, cases
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Distill, Training
from decant.training.batches import training_windows
from decant.training.device import (
    PAYS,
    MissingDeviceError,
    arithmetic,
    bfloat16_speed,
    make_fabric,
)
from decant.training.loop import (
    LossNotFiniteError,
    NothingToLearnError,
    Plan,
    rate_setting,
    seeded,
    train,
)
from decant.training.losses import hard_loss, rce_kd_loss, soft_loss, stratified_loss, with_rest
from decant.training.objective import Batch, Objective, popularity_strata, worst_window_weights
from decant.training.optimizer import make_optimizer, make_schedule
from decant.training.state import Report
from decant.training.step import prepare_batch
from decant.training.supervision import Knowledge, LossWeights, Supervision
from decant.training.validate import TorchScorer, validate

torch.set_num_threads(1)
CPU = torch.device("cpu")
SETTINGS = Training(
    dimension=8, heads=2, layers=1, dropout=0.1, batch_size=16, patience=20, precision="float32",
    device="cpu", learning_rate=0.02,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(cycle: Any) -> tuple[Encoder, Sequences, Supervision]:
    """The circle, and a supervision on all of it."""
    windows = training_windows(cycle.sequences, cycle.encoder.max_length)
    supervision = Supervision(
        lambda rng: windows, cases(cycle.sequences, VALIDATION, 4), exclude_seen=True
    )
    return cycle.encoder, cycle.sequences, supervision


def new(data: Any, seed: int = 1) -> Recommender:
    return seeded(architecture(SETTINGS, data[0], None), None, seed)


def taught(
    data: Any, *, seed: int = 1, model: Recommender | None = None,
    supervision: Supervision | None = None, epochs: int = 2, learning_rate: float = 0.02,
    settings: Training = SETTINGS, **other: Any,
) -> tuple[Recommender, Report]:  # fmt: skip
    model = model or new(data, seed)
    plan = Plan(epochs, learning_rate, seed, **other)
    report = train(model, data[1], supervision or data[2], settings, plan)
    return model, report


def batch_of(
    data: Any, windows: Any, supervision: Supervision, model: Recommender, sequences: Any = None
) -> Batch:
    return prepare_batch(
        sequences or data[1], windows, supervision, model, CPU, settings=SETTINGS,
        rng=np.random.default_rng(0),
    )  # fmt: skip


def weights(model: Recommender) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def trained(data: Any) -> tuple[Recommender, Report]:
    return taught(data, epochs=10)


def test_the_circle_is_learned(data: Any, trained: tuple[Recommender, Report]) -> None:
    model, report = trained
    assert report.losses[-1] < 0.6 * report.losses[0]
    on_test = replace(data[2], selection=cases(data[1], TEST, 4))
    assert validate(model, data[1], on_test) > 0.95


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"objective": "masked", "mask_ratio": 0.2, "dimension": 16},
        {"full_softmax_max_items": 4, "negatives": 32},
        {"full_softmax_max_items": 4, "negatives": 32, "precision": "bfloat16"},
    ],
)
def test_it_is_learned_in_every_way_there_is(data: Any, changes: dict[str, Any]) -> None:
    settings = Training.model_validate({**SETTINGS.model_dump(), **changes})
    model = seeded(architecture(settings, data[0], None), None, 1)
    _, report = taught(data, model=model, settings=settings, epochs=30)
    assert report.losses[-1] < 0.6 * report.losses[0]
    on_test = replace(data[2], selection=cases(data[1], TEST, 4))
    assert validate(model, data[1], on_test) > 0.9


def test_precision_is_taken_automatically_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for speed, expected in ((PAYS * 0.9, "32-true"), (PAYS * 1.1, "bf16-mixed")):
        monkeypatch.setattr("decant.training.device.bfloat16_speed", lambda speed=speed: speed)
        fabric = make_fabric(Training(device="cpu"))
        assert fabric._precision.precision == expected
        said = arithmetic(Training(device="cpu"), fabric)["precision"]
        assert said == ("float32" if expected == "32-true" else "bfloat16")
    assert make_fabric(Training(device="cpu", precision="float32"))._precision.precision != expected


def test_the_speed_of_bfloat16_is_a_ratio_of_two_measured_times() -> None:
    bfloat16_speed.cache_clear()
    assert bfloat16_speed() > 0


def test_the_same_seed_gives_the_same_weights(data: Any) -> None:
    one, two = taught(data), taught(data)
    assert torch.equal(weights(one[0]), weights(two[0]))
    assert one[1] == two[1]


def test_what_was_drawn_before_makes_no_difference(data: Any) -> None:
    start = new(data)
    made = []
    for draws in (0, 5):
        torch.rand(draws)
        np.random.default_rng().random(draws)
        made.append(weights(taught(data, model=deepcopy(start))[0]))
    assert torch.equal(*made)


def test_another_seed_gives_other_weights(data: Any) -> None:
    assert not torch.equal(weights(taught(data)[0]), weights(taught(data, seed=2)[0]))
    assert not torch.equal(weights(new(data, 1)), weights(new(data, 2)))


def test_it_ends_with_the_weights_of_its_best_epoch(
    data: Any, trained: tuple[Recommender, Report]
) -> None:
    model, report = trained
    assert report.ndcg[report.best_epoch] == max(report.ndcg)
    assert validate(model, data[1], data[2]) == pytest.approx(max(report.ndcg))
    assert not model.training


def test_a_start_that_training_spoils_is_kept(
    data: Any, trained: tuple[Recommender, Report]
) -> None:
    start = deepcopy(trained[0])
    model, report = taught(
        data, model=deepcopy(start), epochs=2, learning_rate=1.0, keep_start=True
    )
    assert report.start_ndcg is not None and max(report.ndcg) < report.start_ndcg
    assert report.best_epoch == -1
    assert torch.equal(weights(model), weights(start))


def test_a_start_that_is_no_candidate_is_not_kept(
    data: Any, trained: tuple[Recommender, Report]
) -> None:
    model, report = taught(data, model=deepcopy(trained[0]), epochs=2, learning_rate=1.0)
    assert report.best_epoch >= 0
    assert not torch.equal(weights(model), weights(trained[0]))


def test_an_anchor_holds_the_weights_near_the_start(data: Any) -> None:
    start = weights(new(data))

    def moved(anchor: float) -> float:
        model, _ = taught(data, supervision=replace(data[2], l2_sp=anchor), epochs=4)
        return float((weights(model) - start).norm())

    free, held, hard = (moved(anchor) for anchor in (0.0, 0.3, 10.0))
    assert hard < held / 2 < free / 4


def test_training_stops_after_patience_epochs_without_a_better_one(data: Any) -> None:
    impatient = SETTINGS.model_copy(update={"patience": 2})
    _, report = taught(data, epochs=9, learning_rate=1e-12, settings=impatient)
    assert (report.best_epoch, len(report.ndcg)) == (0, 3)
    _, report = taught(data, epochs=9, learning_rate=1e-12, settings=impatient, keep_start=True)
    assert (report.best_epoch, len(report.ndcg)) == (-1, 2)


def test_every_prediction_is_counted(data: Any) -> None:
    _, report = taught(data, epochs=2)
    assert report.events == 2 * int((data[1].split[:, 0] - 1).sum())


def test_each_epoch_is_told(data: Any) -> None:
    lines: list[str] = []
    taught(data, epochs=2, log=lines.append)
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "validation NDCG@10 0." in lines[0]


def test_data_without_anything_to_predict_is_an_error(
    data: Any, make_sequences: Callable[..., Sequences]
) -> None:
    empty = make_sequences([[1, 2, 3]] * 4)  # one training event each
    windows = training_windows(empty, 8)
    supervision = Supervision(lambda rng: windows, cases(empty, VALIDATION, 4), exclude_seen=True)
    with pytest.raises(NothingToLearnError, match="nothing to train on"):
        train(new(data), empty, supervision, SETTINGS, Plan(1, 0.1, 1))
    report = train(new(data), empty, supervision, SETTINGS, Plan(1, 0.1, 1, keep_start=True))
    assert (report.best_epoch, report.events) == (-1, 0)


@pytest.mark.parametrize(("weight", "kept"), [(float("nan"), False), (float("inf"), True)])
def test_a_loss_that_is_no_number_ends_training(data: Any, weight: float, kept: bool) -> None:
    model = new(data)
    with torch.no_grad():
        next(model.parameters())[:] = weight
    with pytest.raises(
        LossNotFiniteError, match=r"at epoch 1 \(nan\); lower teacher\.learning_rate"
    ):
        taught(data, model=model, keep_start=kept)


def test_the_setting_to_lower_is_the_one_that_was_used() -> None:
    settings = Distill(learning_rate=0.1, segment_learning_rate=0.01)
    assert rate_setting(settings, 0.1) == "distill.learning_rate"
    assert rate_setting(settings, 0.01) == "distill.segment_learning_rate"
    assert rate_setting(Training(learning_rate=0.01), 0.01) == "teacher.learning_rate"


@pytest.mark.parametrize("device", ["cuda", "mps", "gpu"])
def test_a_device_that_is_not_there_is_named(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(library, "is_available", lambda: False)
    with pytest.raises(
        MissingDeviceError, match=f"^distill.device is `{device}`.*set it to auto or"
    ):
        make_fabric(Distill.model_validate({"device": device}))
    make_fabric(Distill(device="cpu"))


def test_what_is_no_target_behaviour_is_not_learned(data: Any) -> None:
    encoder, sequences, supervision = data
    never = replace(sequences, target=np.zeros_like(sequences.target))
    with pytest.raises(NothingToLearnError):
        taught((encoder, never, supervision), epochs=1)


def test_without_cases_to_choose_by_the_start_is_kept(data: Any) -> None:
    supervision = replace(data[2], selection=data[2].selection.take(np.arange(0)))
    _, report = taught(data, supervision=supervision, epochs=2, keep_start=True)
    assert report.best_epoch == -1


def test_the_best_so_far_is_the_start_until_an_epoch_is_kept() -> None:
    assert Report().best < 0
    assert Report(start_ndcg=0.5, ndcg=[0.4]).best == 0.5
    assert Report(start_ndcg=0.5, ndcg=[0.4, 0.6], best_epoch=1).best == 0.6


def test_what_a_teacher_knows_is_that_of_the_event_that_is_predicted(data: Any) -> None:
    _, sequences, supervision = data
    events = np.arange(len(sequences.items))
    number = events[:, None].astype(np.float16)
    relations = np.repeat(number, 3, axis=1)[:, :, None]
    knowledge = Knowledge(events[:, None], np.hstack([-number, number]), number, relations)
    weights = LossWeights(soft=0.5, states=1.0, relations=1.0)
    taught_with = replace(supervision, knowledge=knowledge, weights=weights)
    windows = supervision.windows(np.random.default_rng(0)).take(np.array([3, 70]))
    batch = batch_of(data, windows, taught_with, new(data))
    assert batch.soft is not None and batch.states is not None and batch.relations is not None
    rows = batch.soft[0][:, 0].numpy()
    assert (sequences.items[rows] == batch.targets.numpy()).all()
    expected = torch.from_numpy(rows).half().float()
    torch.testing.assert_close(batch.soft[1], torch.stack([-expected, expected], dim=1))
    torch.testing.assert_close(batch.states[:, 0], expected)
    assert batch.relations.shape == (3, *batch.inputs["items"].shape, 1)
    for part in batch.relations:
        torch.testing.assert_close(part.flatten()[batch.places], expected)


def test_knowledge_that_no_weight_asks_for_is_not_read(data: Any) -> None:
    rows: Any = None  # reading a row of it would fail
    supervision = replace(data[2], knowledge=Knowledge(rows, rows, rows, rows))
    windows = supervision.windows(np.random.default_rng(0)).take(np.array([3]))
    batch = batch_of(data, windows, supervision, new(data))
    assert (batch.soft, batch.states, batch.relations) == (None, None, None)


@pytest.mark.parametrize(
    "weights",
    [
        LossWeights(),
        LossWeights(soft=0.3),
        LossWeights(soft=1.0),
        LossWeights(rce_kd=0.4),
        LossWeights(soft=0.2, rce_kd=0.3, stratified=0.1),
    ],
)
def test_the_loss_mixes_labels_and_knowledge_by_weight(data: Any, weights: LossWeights) -> None:
    _, sequences, supervision = data
    model = new(data).eval()
    events, items = len(sequences.items), model.architecture.items
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(np.log(rng.dirichlet(np.ones(4), events) * 0.9))
    ids = np.stack([rng.permutation(items)[:4] + 1 for _ in range(events)])
    knowledge = Knowledge(ids, with_rest(labels).numpy().astype(np.float16))
    mixed = replace(supervision, knowledge=knowledge, weights=weights, temperature=2.0)
    strata = torch.from_numpy(np.arange(items + 1) % 2)
    batch = batch_of(data, supervision.windows(rng).take(np.arange(5)), mixed, model)
    table, wanted = model.item_embeddings(), batch.targets
    states = model.encode(batch.inputs, table).flatten(0, 1)
    scores = model.scores(states[batch.places], table)
    expected = weights.hard * hard_loss(scores, wanted).mean()
    if batch.soft is not None:
        taught_ids, taught = batch.soft
        own = torch.log_softmax(scores, 1).gather(1, taught_ids)
        expected = (
            expected
            + weights.soft * soft_loss(own, taught, 2.0).mean()
            + weights.rce_kd * rce_kd_loss(scores, taught_ids, taught).mean()
            + weights.stratified
            * stratified_loss(scores.gather(1, taught_ids), taught, strata[taught_ids]).mean()
        )
    torch.testing.assert_close(Objective(model, mixed, strata=strata)(batch), expected)


@pytest.mark.parametrize("weights", [LossWeights(states=0.5), LossWeights(relations=0.5)])
def test_a_student_comes_near_its_teachers_states_and_relations(
    data: Any, weights: LossWeights
) -> None:
    _, sequences, supervision = data
    rng, events = np.random.default_rng(0), len(sequences.items)
    none: Any = None
    knowledge = Knowledge(
        none, none, rng.standard_normal((events, 6)), rng.standard_normal((events, 3, 12))
    )
    held = replace(supervision, knowledge=knowledge, weights=weights, relation_heads=2)
    model = new(data).eval()
    batch = batch_of(data, supervision.windows(rng).take(np.arange(3)), held, model)
    objective = Objective(model, held)
    before = len(model.blocks[-1].attention.query._forward_hooks)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    plain = Objective(model, supervision)
    extra = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(batch)
        loss.backward()
        with torch.no_grad():
            extra.append(float(loss - plain(batch)))
        optimizer.step()
    assert extra[-1] < 0.8 * extra[0]
    assert len(model.blocks[-1].attention.query._forward_hooks) == before


def test_only_the_worst_windows_count() -> None:
    losses = torch.tensor([1.0, 3.0, 9.0, 2.0, 2.0, 8.0])
    window = torch.tensor([4, 4, 4, 7, 7, 9])  # means 13/3, 2 and 8
    assert worst_window_weights(losses, window, 1 / 3).tolist() == [0, 0, 0, 0, 0, 6]
    assert worst_window_weights(losses, window, 2 / 3).tolist() == [1.5, 1.5, 1.5, 0, 0, 1.5]
    assert worst_window_weights(losses, window, 1e-3).tolist() == [0, 0, 0, 0, 0, 6]


def test_a_loss_of_the_worst_windows_is_theirs(data: Any) -> None:
    supervision = data[2]
    model, rng = new(data).eval(), np.random.default_rng(0)
    windows = supervision.windows(rng).take(np.arange(6))
    each = []
    for n in range(6):
        one = windows.take(np.array([n]))
        each.append(Objective(model, supervision)(batch_of(data, one, supervision, model)).item())
    tail = replace(supervision, cvar_fraction=0.34)
    result = Objective(model, tail)(batch_of(data, windows, tail, model))
    worst = np.argsort(each)[-2:]
    alone = Objective(model, supervision)(batch_of(data, windows.take(worst), supervision, model))
    torch.testing.assert_close(result, alone)


def test_strata_hold_as_many_events_each_the_popular_first() -> None:
    counts = np.array([0.0, 8, 1, 4, 1, 1, 1, 0])
    assert popularity_strata(counts)[1:].tolist() == [0, 3, 2, 3, 3, 3, 3]
    assert set(popularity_strata(np.zeros(5)).tolist()) == {0}


def test_padding_is_no_prediction(data: Any) -> None:
    model = new(data).eval()
    batch = batch_of(data, data[2].windows(np.random.default_rng(0)).take(np.array([0])), data[2],
                     model)  # fmt: skip
    pad = torch.nn.functional.pad
    longer = replace(
        batch,
        inputs={**batch.inputs, "items": pad(batch.inputs["items"], (2, 0))},
        places=batch.places + 2,
    )
    objective = Objective(model, data[2])
    torch.testing.assert_close(objective(batch), objective(longer))


def test_a_share_of_the_loss_is_a_share_of_its_gradient(data: Any) -> None:
    model = new(data).eval()
    windows = data[2].windows(np.random.default_rng(0)).take(np.arange(4))
    objective, batch = Objective(model, data[2]), batch_of(data, windows, data[2], model)
    torch.testing.assert_close(objective(batch, 0.25), 0.25 * objective(batch))


def test_an_item_without_training_events_has_no_probability(data: Any) -> None:
    model = new(data).eval()
    windows = data[2].windows(np.random.default_rng(0)).take(np.arange(4))
    batch = batch_of(data, windows, data[2], model)
    held = torch.arange(17) == 5
    kept = batch.targets != 5
    batch = replace(batch, targets=batch.targets[kept], places=batch.places[kept])
    table = model.item_embeddings()
    states = model.encode(batch.inputs, table).flatten(0, 1)[batch.places]
    scores = model.scores(states, table)
    others = torch.logsumexp(scores[:, ~held], dim=1)
    expected = (others - scores.gather(1, batch.targets[:, None])[:, 0]).mean()
    torch.testing.assert_close(Objective(model, data[2], held)(batch), expected)


def test_the_learning_rate_rises_shortly_and_falls_to_a_twentieth() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make_schedule(optimizer, 100)
    rates = []
    for _ in range(101):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[100] == pytest.approx(0.05)


def test_tables_norms_and_biases_are_not_decayed(data: Any) -> None:
    model = new(data)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, kept = make_optimizer(model, 0.1, 0.5).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.5, 0.0)
    decayed_names = {names[id(p)] for p in decayed["params"]}
    assert "blocks.0.attention.query.weight" in decayed_names
    assert not [n for n in decayed_names if "norm" in n or "item" in n or n.endswith("up.bias")]
    assert len(decayed["params"]) + len(kept["params"]) == len(names)


def test_scoring_leaves_a_model_in_the_mode_it_was_in(data: Any) -> None:
    model = new(data)
    for mode in (True, False):
        model.train(mode)
        TorchScorer(model)(data[1], data[2].selection)
        assert model.training is mode


def test_an_item_without_training_events_is_no_wrong_answer_and_ends_without_an_id(
    data: Any,
) -> None:
    held = np.arange(17) == 5
    without = hold_back(data[1], held)
    windows = training_windows(without, data[0].max_length)
    supervision = replace(
        data[2], windows=lambda rng: windows, selection=cases(without, VALIDATION, 4)
    )
    model = new(data)
    objective = Objective(model, supervision, torch.from_numpy(held))
    batch = batch_of(data, windows.take(np.arange(8)), supervision, model, without)
    objective(batch).backward()
    assert model.bias.grad is not None and model.item.weight.grad is not None
    assert model.bias.grad[5] == 0 and not model.item.weight.grad[5].any()
    assert (model.bias.grad[[4, 6]] != 0).all()
    model, _ = taught((data[0], without, supervision))
    assert not model.item.weight[5].any()
    others = model.bias[[*range(1, 5), *range(6, 17)]]
    assert others.min() <= model.bias[5] <= others.max()
