import pytest
import torch
from torch.nn import functional

from decant.training import softmax
from decant.training.softmax import chunked, draw, sampled_log_partition, scores_of

P, N, D = 23, 40, 6


@pytest.fixture
def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states [P, d], item table [N + 1, d], biases [N + 1], targets [P]."""
    torch.manual_seed(0)
    leaves = [torch.randn(*size).requires_grad_() for size in ((P, D), (N + 1, D), (N + 1,))]
    return (leaves[0], leaves[1], leaves[2], torch.randint(1, N + 1, (P,)))


@pytest.mark.parametrize("size", [1, 7, 23, 100])
def test_in_chunks_the_loss_and_every_gradient_are_those_of_the_whole(
    parts: tuple[torch.Tensor, ...], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, table, bias, targets = parts
    monkeypatch.setattr(softmax, "CHUNK", size)

    def loss(scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return (functional.cross_entropy(scores, targets[rows], reduction="none") ** 2).sum()

    whole = loss(functional.linear(hidden, table, bias), slice(None)) * 3
    expected = torch.autograd.grad(whole, (hidden, table, bias))
    result = chunked(loss, hidden, table, bias) * 3
    torch.testing.assert_close(result, whole, rtol=1e-5, atol=1e-4)
    for one, other in zip(
        torch.autograd.grad(result, (hidden, table, bias)), expected, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_without_gradients_the_loss_is_the_same(parts: tuple[torch.Tensor, ...]) -> None:
    hidden, table, bias, targets = parts

    def loss(scores: torch.Tensor, rows: slice) -> torch.Tensor:
        return functional.cross_entropy(scores, targets[rows], reduction="sum")

    with torch.no_grad():
        result = chunked(loss, hidden, table, bias)
    torch.testing.assert_close(result, chunked(loss, hidden, table, bias).detach())


def test_no_predictions_cost_nothing_and_move_nothing(parts: tuple[torch.Tensor, ...]) -> None:
    hidden, table, bias, _ = parts
    result = chunked(lambda scores, rows: scores.sum(), hidden[:0], table, bias)
    result.backward()
    assert float(result.detach()) == 0
    assert table.grad is not None and not table.grad.any()


def test_items_are_drawn_as_often_as_their_weights_say() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0])
    sample = draw(weights, 40_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(sample.ids, minlength=3)
    assert counts[0] == 0
    assert counts[2] / counts[1] == pytest.approx(3, rel=0.05)
    expected = counts[sample.ids].float()
    torch.testing.assert_close(sample.log_expected.exp(), expected, rtol=0.05, atol=0)


def test_the_sampled_partition_is_that_of_the_catalogue_on_average(
    parts: tuple[torch.Tensor, ...],
) -> None:
    hidden, table, bias, targets = (x.detach() for x in parts)
    weights = torch.rand(N + 1) + 0.1
    weights[0] = 0
    scores = functional.linear(hidden, table, bias)[:, 1:]
    generator, sums = torch.Generator().manual_seed(1), torch.zeros(P)
    own = scores_of(hidden, targets[:, None], table, bias)[:, 0]
    for _ in range(400):
        sample = draw(weights, 64, generator)
        sums += sampled_log_partition(hidden, own, targets, sample, table, bias).exp()
    torch.testing.assert_close(sums / 400, scores.exp().sum(1), rtol=0.05, atol=0)


def test_without_the_correction_it_would_not_be() -> None:
    """The check above can fail: drawn by weight and counted alike, heavy items count too much."""
    torch.manual_seed(0)
    table, hidden = torch.zeros(3, 1), torch.zeros(1, 1)
    bias = torch.tensor([0.0, 0.0, 5.0])
    sample = draw(torch.tensor([0.0, 1.0, 9.0]), 1000)
    wrong = softmax.Sample(sample.ids, torch.log(torch.full((1000,), 500.0)))
    targets, own = torch.tensor([1]), torch.zeros(1)
    right = sampled_log_partition(hidden, own, targets, sample, table, bias)
    off = sampled_log_partition(hidden, own, targets, wrong, table, bias)
    truth = torch.tensor([1.0, float(torch.tensor(5.0).exp())]).sum().log()
    assert abs(float(right - truth)) < 0.05 < abs(float(off - truth))


def test_scores_of_some_items_are_those_of_the_catalogue(parts: tuple[torch.Tensor, ...]) -> None:
    hidden, table, bias, _ = parts
    ids = torch.randint(0, N + 1, (P, 4))
    everything = functional.linear(hidden, table, bias)
    torch.testing.assert_close(scores_of(hidden, ids, table, bias), everything.gather(1, ids))
