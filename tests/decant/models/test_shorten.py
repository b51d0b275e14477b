import pytest
import torch
from torch import nn

from decant.models.recommender import MASKED, NEXT, Architecture, Recommender
from decant.models.shorten import shorten

READS = 9


def new(objective: str) -> Recommender:
    torch.manual_seed(0)
    model = Recommender(
        Architecture(
            items=20, dimension=8, heads=(2, 2), head_width=4, hidden=(16, 16), max_length=READS,
            inputs=("item",), objective=objective,
        )
    ).eval()  # fmt: skip
    for name, parameter in model.named_parameters():
        if name.endswith("attention.bias"):
            nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("objective", [NEXT, MASKED])
@pytest.mark.parametrize("length", [1, 4, READS])
def test_it_says_what_the_whole_model_says_of_a_shorter_history(
    objective: str, length: int
) -> None:
    model = new(objective)
    shorter = shorten(model, length)
    history = {"items": torch.randint(1, 21, (3, length))}
    torch.testing.assert_close(shorter(history), model(history))
    assert shorter.architecture.max_length == length


@pytest.mark.parametrize("length", [0, READS + 1])
def test_it_cannot_read_more_than_the_model_or_nothing(length: int) -> None:
    with pytest.raises(ValueError, match=f"reads {READS} events cannot read {length}"):
        shorten(new(NEXT), length)
