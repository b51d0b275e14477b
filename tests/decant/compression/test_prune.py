from collections.abc import Iterator

import pytest
import torch

from decant.compression.prune import Importance, blocks_of, measure_importance, prune
from decant.models.recommender import Architecture, Recommender

torch.set_num_threads(1)
SHAPE = Architecture(
    items=12,
    dimension=16,
    heads=(4, 4),
    head_width=4,
    hidden=(10, 10),
    max_length=6,
    inputs=("item", "text"),
    vector_widths=(("text", 3),),
)
USELESS_UNITS, USELESS_HEADS = ((1, 4, 5), (0, 9)), ((2,), (0, 3))


@pytest.fixture
def model() -> Recommender:
    """A model with parts that do nothing, at known places: their way out is zero."""
    torch.manual_seed(0)
    made = Recommender(SHAPE, {"text": torch.randn(13, 3)}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for block, units, heads in zip(blocks_of(made), USELESS_UNITS, USELESS_HEADS, strict=True):
            block.feed.down.weight[:, list(units)] = 0.0
            for head in heads:
                block.attention.out.weight[:, head * 4 : head * 4 + 4] = 0.0
    return made


def batches(count: int) -> Iterator[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield {"items": torch.randint(1, 13, (8, 6), generator=generator)}


def losses(model: Recommender) -> Iterator[torch.Tensor]:
    for batch in batches(4):
        yield torch.nn.functional.cross_entropy(model(batch), batch["items"][:, 0])


def test_parts_that_do_nothing_have_no_importance(model: Recommender) -> None:
    importance = measure_importance(model, losses(model))
    for layer in range(2):
        units = {u for u, value in enumerate(importance.hidden[layer]) if value == 0}
        heads = {h for h, value in enumerate(importance.heads[layer]) if value == 0}
        assert units == set(USELESS_UNITS[layer])
        assert heads == set(USELESS_HEADS[layer])


def test_removing_them_changes_no_score(model: Recommender) -> None:
    importance = measure_importance(model, losses(model))
    smaller = prune(model, importance, heads_kept=0.75, hidden_kept=0.8)
    assert smaller.architecture.heads == (3, 3)
    assert smaller.architecture.hidden == (8, 8)
    with torch.inference_mode():
        for batch in batches(2):
            torch.testing.assert_close(smaller(batch), model(batch))


def test_removing_a_head_that_matters_changes_scores(model: Recommender) -> None:
    importance = measure_importance(model, losses(model))
    smaller = prune(model, importance, heads_kept=0.25, hidden_kept=1.0)
    batch = next(batches(1))
    with torch.inference_mode():
        assert not torch.allclose(smaller(batch), model(batch), atol=1e-3)


def test_what_is_kept_is_what_was_most_important(model: Recommender) -> None:
    heads = [torch.tensor([0.0, 3.0, 1.0, 2.0])] * 2
    hidden = [torch.arange(10.0), torch.arange(10.0).flip(0)]
    smaller = prune(model, Importance(heads, hidden), heads_kept=0.5, hidden_kept=0.3)
    old, new = blocks_of(model), blocks_of(smaller)
    assert torch.equal(new[0].feed.up.weight, old[0].feed.up.weight[7:])
    assert torch.equal(new[0].feed.up.bias, old[0].feed.up.bias[7:])
    assert torch.equal(new[1].feed.down.weight, old[1].feed.down.weight[:, :3])
    assert torch.equal(new[0].attention.query.weight[:4], old[0].attention.query.weight[4:8])
    assert torch.equal(new[0].attention.query.weight[4:], old[0].attention.query.weight[12:])
    assert torch.equal(new[1].attention.bias, old[1].attention.bias[[1, 3]])
    assert torch.equal(new[1].attention.out.weight[:, :4], old[1].attention.out.weight[:, 4:8])


def test_every_layer_keeps_its_share_whatever_the_others_are_worth(model: Recommender) -> None:
    importance = Importance([torch.ones(4), torch.zeros(4)], [torch.ones(10), torch.zeros(10)])
    smaller = prune(model, importance, heads_kept=0.5, hidden_kept=0.5)
    assert smaller.architecture.heads == (2, 2)
    assert smaller.architecture.hidden == (5, 5)


def test_at_least_one_part_of_each_layer_stays(model: Recommender) -> None:
    importance = Importance([torch.ones(4)] * 2, [torch.ones(10)] * 2)
    smaller = prune(model, importance, heads_kept=0.01, hidden_kept=0.01)
    assert smaller.architecture.heads == (1, 1)
    assert smaller.architecture.hidden == (1, 1)
    assert torch.isfinite(smaller(next(batches(1)))).all()


def test_keeping_everything_keeps_every_weight(model: Recommender) -> None:
    importance = Importance([torch.rand(4)] * 2, [torch.rand(10)] * 2)
    same = prune(model, importance, heads_kept=1.0, hidden_kept=1.0)
    assert same.architecture == model.architecture
    for name, weight in model.state_dict().items():
        assert torch.equal(same.state_dict()[name], weight), name


def test_measuring_leaves_no_gradients_and_no_other_weights(model: Recommender) -> None:
    before = {name: w.clone() for name, w in model.state_dict().items()}
    measure_importance(model, losses(model))
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], w) for name, w in model.state_dict().items())
