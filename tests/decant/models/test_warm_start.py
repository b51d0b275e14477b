from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.models import bundle
from decant.models.build import save_model
from decant.models.recommender import Architecture, Recommender
from decant.models.warm_start import ENCODER, TransferError, start_from

torch.set_num_threads(1)
WIDTH = 3
SHAPE = Architecture(
    items=8,
    dimension=8,
    heads=(2,),
    head_width=4,
    hidden=(16,),
    max_length=5,
    inputs=("item", "text"),
    vector_widths=(("text", WIDTH),),
)
IDS = tuple("abcdefgh")


def unit_rows(count: int, seed: int) -> torch.Tensor:
    rows = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    rows = rows / rows.norm(dim=1, keepdim=True)
    return torch.cat([torch.zeros(1, WIDTH), rows])


def randomised(shape: Architecture, text: torch.Tensor | None, seed: int) -> Recommender:
    torch.manual_seed(seed)
    model = Recommender(shape, None if text is None else {"text": text})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def written(model: Recommender, folder: Path, **metrics: str) -> Path:
    save_model(model, folder, IDS[: model.architecture.items], metrics)
    bundle.seal(folder)
    return folder


@pytest.fixture
def former(tmp_path: Path) -> tuple[Recommender, Path]:
    model = randomised(SHAPE, unit_rows(8, 1), 1)
    return model, written(model, tmp_path / "teacher")


def scores(model: Recommender, items: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model({"items": torch.tensor([items])})[0]


def test_the_same_catalogue_gives_the_same_model(former: tuple[Recommender, Path]) -> None:
    model = randomised(SHAPE, unit_rows(8, 1), 2)
    result = start_from(model, former[1], IDS)
    assert (result.by_id, result.by_text, result.new, result.left_out) == (8, 0, 0, ())
    torch.testing.assert_close(scores(model, [1, 5])[1:], scores(former[0], [1, 5])[1:])


def test_items_are_matched_wherever_they_stand(former: tuple[Recommender, Path]) -> None:
    text = unit_rows(8, 1)
    order = [0, 3, 1, 2, 8, 7, 6, 5, 4]
    model = randomised(SHAPE, text[order], 2)
    start_from(model, former[1], tuple(IDS[n - 1] for n in order[1:]))
    expected = scores(former[0], [order[1], order[2]])[order]
    torch.testing.assert_close(scores(model, [1, 2])[1:], expected[1:])


def test_text_that_was_reduced_anew_is_turned_back(former: tuple[Recommender, Path]) -> None:
    rotation = torch.linalg.qr(
        torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3))
    )
    model = randomised(SHAPE, unit_rows(8, 1) @ rotation[0], 2)
    start_from(model, former[1], IDS)
    torch.testing.assert_close(
        scores(model, [1, 5])[1:], scores(former[0], [1, 5])[1:], rtol=1e-3, atol=1e-3
    )


def test_a_new_item_stands_where_its_nearest_text_does(former: tuple[Recommender, Path]) -> None:
    text = unit_rows(8, 1)
    text[3], text[4] = text[7], -text[1:].mean(dim=0)
    model = randomised(replace(SHAPE, items=4), text[:5], 2)
    before = model.item.weight[4].clone()
    result = start_from(model, former[1], ("a", "b", "new", "newer"))
    assert (result.by_id, result.by_text, result.new) == (2, 1, 1)
    torch.testing.assert_close(model.item.weight[3], former[0].item.weight[7])
    torch.testing.assert_close(model.item.weight[4], before)
    assert "2 items by id, 1 by text, 1 new" in result.line()


def test_without_a_shared_item_texts_compare_if_one_encoder_made_them(tmp_path: Path) -> None:
    text = unit_rows(8, 1)
    old = randomised(SHAPE, text, 1)
    folder = written(old, tmp_path / "bert", **{ENCODER: "digest"})
    others = tuple("stuvwxyz")
    for encoder, by_text in (("digest", 8), ("another", 0), (None, 0)):
        result = start_from(randomised(SHAPE, text, 2), folder, others, encoder)
        assert (result.by_id, result.by_text) == (0, by_text)


def test_other_texts_of_shared_items_are_never_compared(former: tuple[Recommender, Path]) -> None:
    model = randomised(SHAPE, unit_rows(8, 9), 2)
    result = start_from(model, former[1], ("a", "b", *"uvwxyz"))
    assert (result.by_id, result.by_text) == (2, 0)


def test_other_shapes_are_left_out_and_named(former: tuple[Recommender, Path]) -> None:
    shape = replace(SHAPE, heads=(2, 2), hidden=(12, 16), max_length=7)
    model = randomised(shape, unit_rows(8, 1), 2)
    result = start_from(model, former[1], IDS)
    assert "blocks.0.feed.up.weight" in result.left_out
    assert "blocks.1.attention.query.weight" in result.left_out
    query = "blocks.0.attention.query.weight"
    assert query not in result.left_out
    new, old = model.state_dict(), former[0].state_dict()
    torch.testing.assert_close(new[query], old[query])
    recency = "blocks.0.attention.bias"
    torch.testing.assert_close(new[recency][:, -5:], old[recency])


def test_a_model_without_text_is_matched_by_id(former: tuple[Recommender, Path]) -> None:
    shape = replace(SHAPE, inputs=("item",), vector_widths=())
    result = start_from(randomised(shape, None, 2), former[1], ("a", *"tuvwxyz"))
    assert (result.by_id, result.by_text, result.new) == (1, 0, 7)


def test_another_dimension_is_told(former: tuple[Recommender, Path]) -> None:
    model = randomised(replace(SHAPE, dimension=4, head_width=2), unit_rows(8, 1), 2)
    with pytest.raises(TransferError, match=r"has dimension 8, teacher\.dimension is 4: set it"):
        start_from(model, former[1], IDS)


def test_what_is_no_teacher_is_told_in_a_line(
    former: tuple[Recommender, Path], tmp_path: Path
) -> None:
    model = randomised(SHAPE, unit_rows(8, 1), 2)
    with pytest.raises(TransferError, match=r"has no model\.safetensors: set it to"):
        start_from(model, tmp_path, IDS)
    (former[1] / bundle.WEIGHTS).write_bytes(b"broken")
    with pytest.raises(TransferError, match="cannot be read: .*changed after it was written"):
        start_from(model, former[1], IDS)


def test_the_model_started_from_stays_as_it_is(former: tuple[Recommender, Path]) -> None:
    files = {path.name: path.read_bytes() for path in former[1].iterdir()}
    start_from(randomised(SHAPE, unit_rows(8, 1), 2), former[1], IDS)
    assert {path.name: path.read_bytes() for path in former[1].iterdir()} == files
    assert np.isfinite(former[0].item.weight.detach().numpy()).all()
