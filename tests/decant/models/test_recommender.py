import pytest
import torch
from torch import nn

from decant.models.recommender import MASKED_SCORE, Architecture, Attention, Dropout, Recommender

torch.set_num_threads(1)
SHAPE = Architecture(
    items=6,
    dimension=8,
    heads=(2,),
    head_width=4,
    hidden=(16,),
    max_length=5,
    inputs=("item", "text", "gap"),
    gaps=3,
    vector_widths=(("text", 3),),
)


def test_an_architecture_survives_its_dictionary() -> None:
    assert Architecture.from_dict(SHAPE.to_dict()) == SHAPE


def test_only_the_inputs_it_reads_have_weights() -> None:
    model = Recommender(SHAPE)
    assert list(model.events) == ["gaps"]
    assert len(model.attributes) == 0
    assert SHAPE.event_inputs == ("items", "gaps")


def test_text_moves_an_item_only_through_its_projection() -> None:
    text = torch.zeros(7, 3)
    text[2] = torch.tensor([1.0, 2.0, 3.0])
    model = Recommender(SHAPE, {"text": text})
    moved = model.item_embeddings() - model.item.weight
    expected = text[2] @ model.vectors[0].projection.weight.T
    torch.testing.assert_close(moved[2], expected)
    assert not moved[[0, 1, 3, 4, 5, 6]].any()


def test_scores_are_products_with_the_item_table_and_a_bias() -> None:
    model = Recommender(SHAPE, {"text": torch.randn(7, 3)}).eval()
    with torch.no_grad():
        model.bias[3] = 5.0
    batch = {"items": torch.tensor([[0, 1, 4]]), "gaps": torch.tensor([[0, 1, 2]])}
    table = model.item_embeddings()
    state = model.encode(batch, table)[:, -1]
    torch.testing.assert_close(model(batch), state @ table.T + model.bias)


def test_attention_prefers_what_its_bias_for_that_distance_says() -> None:
    attention = Attention(dimension=4, heads=1, width=4, length=3)
    with torch.no_grad():
        attention.query.weight.zero_()
        attention.value.weight.copy_(torch.eye(4))
        attention.out.weight.copy_(torch.eye(4))
        attention.bias[0] = torch.tensor([0.0, 50.0, 0.0])  # one step back
    x = torch.eye(4)[None, :3]
    padding = torch.zeros(1, 1, 1, 3)
    seen = attention(x, padding, last=False)[0]
    torch.testing.assert_close(seen, x[0, [0, 0, 1]])  # the first has nothing before it
    torch.testing.assert_close(attention(x, padding, last=True)[0], x[0, [1]])


@pytest.mark.parametrize("last", [False, True])
def test_padding_is_not_looked_at(last: bool) -> None:
    attention = Attention(dimension=4, heads=2, width=2, length=3)
    x = torch.randn(1, 3, 4)
    padding = torch.tensor([[[[MASKED_SCORE, 0.0, 0.0]]]])
    other = x.clone()
    other[0, 0] = 100.0
    a, b = attention(x, padding, last), attention(other, padding, last)
    torch.testing.assert_close(a[:, -1], b[:, -1])


def test_dropout_keeps_the_mean_and_drops_its_share_anew_each_time() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.25), torch.ones(100, 1001)
    one, two = layer(x), layer(x)
    assert float((one == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(one.mean()) == pytest.approx(1, abs=0.01)
    assert not torch.equal(one, two)
    torch.manual_seed(0)
    assert torch.equal(layer(x), one)


def test_dropout_does_nothing_to_a_model_that_is_asked_or_at_rate_0() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("length", [1, 4, 6])
def test_the_way_to_a_bias_that_suits_a_gpu_leads_to_the_same_with_the_same_gradient(
    length: int, both_ways: bool
) -> None:
    attention = Attention(dimension=8, heads=2, width=4, length=6, both_ways=both_ways)
    nn.init.normal_(attention.bias)
    counted = torch.randn(2, length, length)
    result = []
    for bias in (attention._bias(length), attention._bias_by_rows(length)):
        (gradient,) = torch.autograd.grad((bias * counted).sum(), attention.bias)
        result.append((bias.detach(), gradient))
    assert torch.equal(result[0][0], result[1][0])
    torch.testing.assert_close(result[0][1], result[1][1])
