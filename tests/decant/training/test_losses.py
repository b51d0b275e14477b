import pytest
import torch

from decant.training.losses import anchor_loss, hard_loss, soft_loss

P, N = 5, 7
TEMPERATURES = [0.5, 1.0, 3.0]


def teacher_and_scores() -> tuple[torch.Tensor, torch.Tensor]:
    """A teacher's log-probabilities of N items [P, N], a student's scores [P, N + 1]."""
    torch.manual_seed(0)
    scores = torch.randn(P, N + 1)
    scores[:, 0] = -40.0  # no item: a trained student never says so
    return torch.log_softmax(torch.randn(P, N) * 2, dim=1), scores


def own(scores: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """A student's log-probabilities of some items."""
    return torch.log_softmax(scores, dim=1).gather(1, ids)


def test_the_hard_loss_is_the_cross_entropy_over_the_catalogue() -> None:
    _, scores = teacher_and_scores()
    targets = torch.tensor([1, 2, 3, 7, 7])
    naive = [-torch.log_softmax(s, 0)[t] for s, t in zip(scores, targets, strict=True)]
    torch.testing.assert_close(hard_loss(scores, targets), torch.stack(naive))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_with_the_whole_catalogue_it_is_the_full_cross_entropy(temperature: float) -> None:
    teacher, scores = teacher_and_scores()
    ids = torch.arange(1, N + 1).expand(P, N)
    softened = torch.softmax(teacher / temperature, dim=1)
    student = torch.log_softmax(scores[:, 1:] / temperature, dim=1)
    full = -(softened * student).sum(1).mean() * temperature**2
    found = soft_loss(own(scores, ids), teacher, temperature).mean()
    tolerance = 1e-4 if temperature <= 1 else 0.15  # what the class of the rest weighs, softened
    assert float(found) == pytest.approx(float(full), rel=tolerance)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_mass_outside_the_top_counts_as_one_class(temperature: float) -> None:
    teacher, scores = teacher_and_scores()
    top = teacher.topk(3, dim=1)
    found = soft_loss(own(scores, top.indices + 1), top.values, temperature)
    losses = []
    for row in range(P):
        p = teacher[row].exp()
        q = torch.softmax(scores[row], 0)
        kept = top.indices[row]
        classes_p = torch.cat([p[kept], 1 - p[kept].sum()[None]]) ** (1 / temperature)
        classes_q = torch.cat([q[kept + 1], 1 - q[kept + 1].sum()[None]]) ** (1 / temperature)
        classes_p, classes_q = classes_p / classes_p.sum(), classes_q / classes_q.sum()
        losses.append(-(classes_p * classes_q.log()).sum() * temperature**2)
    torch.testing.assert_close(found, torch.stack(losses), rtol=1e-4, atol=1e-5)


def test_a_student_that_agrees_with_the_teacher_is_where_the_loss_is_flat() -> None:
    teacher, _ = teacher_and_scores()
    top = teacher.topk(4, dim=1)
    scores = torch.cat([torch.full((P, 1), -40.0), teacher], dim=1).requires_grad_()
    soft_loss(own(scores, top.indices + 1), top.values, 1.0).mean().backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-5


def test_the_gradient_points_to_the_teacher() -> None:
    teacher, start = teacher_and_scores()
    top = teacher.topk(4, dim=1)
    scores = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        soft_loss(own(scores, top.indices + 1), top.values, 1.0).mean().backward()
        optimizer.step()
    learned = torch.log_softmax(scores.detach(), 1).gather(1, top.indices + 1)
    torch.testing.assert_close(learned, top.values, rtol=0, atol=0.05)


def test_a_teacher_in_half_precision_whose_mass_exceeds_one_gives_a_finite_loss() -> None:
    teacher = torch.log(torch.tensor([[0.6, 0.4005]]))
    scores = torch.zeros(1, 3)
    assert torch.isfinite(soft_loss(own(scores, torch.tensor([[1, 2]])), teacher, 1.0)).all()


def test_the_anchor_is_the_squared_distance_from_the_start() -> None:
    start = [torch.zeros(2, 3), torch.ones(2)]
    moved = [torch.full((2, 3), 0.5), torch.tensor([1.0, 3.0])]
    assert float(anchor_loss(moved, start)) == pytest.approx(6 * 0.25 + 4)
    assert float(anchor_loss(start, start)) == 0.0
