import numpy as np
import torch

from decant.models.cold_start import reset_untrained
from decant.models.recommender import Architecture, Recommender

SHAPE = Architecture(
    items=12,
    dimension=4,
    heads=(1,),
    head_width=4,
    hidden=(8,),
    max_length=3,
    inputs=("item", "text"),
    vector_widths=(("text", 2),),
)


def some_model(**changes: float) -> Recommender:
    torch.manual_seed(0)
    model = Recommender(Architecture(**{**vars(SHAPE), **changes}), {"text": torch.randn(13, 2)})
    with torch.no_grad():
        model.bias.copy_(torch.arange(13.0))
    return model


def test_an_item_without_events_is_its_text_alone_with_a_rare_items_bias() -> None:
    model = some_model()
    counts = np.array([0, 0, *range(1, 11), 0])
    before = model.item_embeddings().detach().clone()
    assert reset_untrained(model, counts) == 2
    after = model.item_embeddings().detach()
    torch.testing.assert_close(after[2:12], before[2:12])
    torch.testing.assert_close(after[[1, 12]], model.vectors[0]().detach()[[1, 12]])
    assert model.bias[[1, 12]].tolist() == [2.0, 2.0]  # item 2 is the rarest tenth
    assert model.bias[2:12].tolist() == list(range(2, 12))


def test_where_every_item_or_none_has_events_nothing_changes() -> None:
    for counts in (np.ones(13), np.zeros(13)):
        model = some_model()
        before = {name: t.clone() for name, t in model.state_dict().items()}
        reset_untrained(model, counts)
        assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_ids_are_dropped_in_training_alone() -> None:
    model = some_model(id_dropout=0.5)
    whole = model.item.weight + model.vectors[0]()
    text = model.vectors[0]()
    table = model.train().item_embeddings()
    dropped = [bool(torch.equal(row, t)) for row, t in zip(table, text, strict=True)]
    assert 0 < sum(dropped) < 13
    kept = [n for n, is_dropped in enumerate(dropped) if not is_dropped]
    torch.testing.assert_close(table[kept], whole[kept])
    torch.testing.assert_close(model.eval().item_embeddings(), whole)
