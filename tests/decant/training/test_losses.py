import pytest
import torch

from decant.training.losses import (
    hard_loss,
    l2_sp_loss,
    rce_kd_loss,
    relations_loss,
    soft_loss,
    states_loss,
    stratified_loss,
    with_rest,
)

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
    result = soft_loss(own(scores, ids), with_rest(teacher), temperature).mean()
    tolerance = 1e-4 if temperature <= 1 else 0.15  # what the class of the rest weighs, softened
    assert float(result) == pytest.approx(float(full), rel=tolerance)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_mass_outside_the_top_counts_as_one_class(temperature: float) -> None:
    teacher, scores = teacher_and_scores()
    top = teacher.topk(3, dim=1)
    result = soft_loss(own(scores, top.indices + 1), with_rest(top.values), temperature)
    losses = []
    for row in range(P):
        p = teacher[row].exp()
        q = torch.softmax(scores[row], 0)
        kept = top.indices[row]
        classes_p = torch.cat([p[kept], 1 - p[kept].sum()[None]]) ** (1 / temperature)
        classes_q = torch.cat([q[kept + 1], 1 - q[kept + 1].sum()[None]]) ** (1 / temperature)
        classes_p, classes_q = classes_p / classes_p.sum(), classes_q / classes_q.sum()
        losses.append(-(classes_p * classes_q.log()).sum() * temperature**2)
    torch.testing.assert_close(result, torch.stack(losses), rtol=1e-4, atol=1e-5)


def test_a_student_that_agrees_with_the_teacher_is_where_the_loss_is_flat() -> None:
    teacher, _ = teacher_and_scores()
    top = teacher.topk(4, dim=1)
    scores = torch.cat([torch.full((P, 1), -40.0), teacher], dim=1).requires_grad_()
    soft_loss(own(scores, top.indices + 1), with_rest(top.values), 1.0).mean().backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-5


def test_the_gradient_points_to_the_teacher() -> None:
    teacher, start = teacher_and_scores()
    top = teacher.topk(4, dim=1)
    scores = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        soft_loss(own(scores, top.indices + 1), with_rest(top.values), 1.0).mean().backward()
        optimizer.step()
    learned = torch.log_softmax(scores.detach(), 1).gather(1, top.indices + 1)
    torch.testing.assert_close(learned, top.values, rtol=0, atol=0.05)


def test_a_teacher_in_half_precision_whose_mass_exceeds_one_gives_a_finite_loss() -> None:
    teacher = torch.log(torch.tensor([[0.6, 0.4005]]))
    scores = torch.zeros(1, 3)
    assert torch.isfinite(
        soft_loss(own(scores, torch.tensor([[1, 2]])), with_rest(teacher), 1.0)
    ).all()


def test_the_anchor_is_the_squared_distance_from_the_start() -> None:
    start = [torch.zeros(2, 3), torch.ones(2)]
    moved = [torch.full((2, 3), 0.5), torch.tensor([1.0, 3.0])]
    assert float(l2_sp_loss(moved, start)) == pytest.approx(6 * 0.25 + 4)
    assert float(l2_sp_loss(start, start)) == 0.0


def test_the_list_is_the_teachers_top_and_the_students_own() -> None:
    teacher, scores = teacher_and_scores()
    top = teacher.topk(3, dim=1)
    result = rce_kd_loss(scores, top.indices + 1, with_rest(top.values))
    losses = []
    for row in range(P):
        theirs = (top.indices[row] + 1).tolist()
        mine = (scores[row, 1:].topk(3).indices + 1).tolist()
        listed = sorted({*theirs, *mine})
        rest = 1 - teacher[row].exp()[top.indices[row]].sum()
        p = torch.stack([teacher[row, i - 1].exp() if i in theirs else rest / (N - 3)
                         for i in listed])  # fmt: skip
        losses.append(-(p / p.sum() * torch.log_softmax(scores[row, listed], 0)).sum())
    torch.testing.assert_close(result, torch.stack(losses))


def test_an_item_that_only_the_student_ranks_high_is_punished_by_the_list() -> None:
    teacher = torch.log(torch.tensor([[0.5, 0.3, 0.05, 0.05, 0.05, 0.05]]))
    top = teacher.topk(2, dim=1)
    right = torch.tensor([[-40.0, 3.0, 2.5, 0.0, 0.0, 0.0, 0.0]])
    wrong = right.clone()
    wrong[0, 6] = 4.0  # above both that the teacher names
    among = [rce_kd_loss(s, top.indices + 1, with_rest(top.values)) for s in (right, wrong)]
    assert float(among[1]) > float(among[0]) + 0.5
    alone = [torch.log_softmax(s[:, 1:3], 1) for s in (right, wrong)]
    torch.testing.assert_close(alone[0], alone[1])  # the two items alone do not tell


def test_within_strata_popularity_does_not_count() -> None:
    teacher, scores = teacher_and_scores()
    top = teacher.topk(5, dim=1)
    of_ids = scores.gather(1, top.indices + 1)
    strata = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [2, 2, 0, 0, 0],
                           [0, 1, 2, 3, 3]])  # fmt: skip
    result = stratified_loss(of_ids, with_rest(top.values), strata)
    for row in range(P):
        parts = []
        for stratum in set(strata[row].tolist()):
            inside = strata[row] == stratum
            if inside.sum() > 1:
                p = torch.softmax(top.values[row][inside], 0)
                parts.append(-(p * torch.log_softmax(of_ids[row][inside], 0)).sum())
        assert float(result[row]) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-5)
    louder = of_ids + 3.0 * (strata == 0)  # all of one stratum more likely
    torch.testing.assert_close(stratified_loss(louder, with_rest(top.values), strata), result)


def test_strata_of_one_item_each_tell_nothing_and_have_a_gradient() -> None:
    of_ids = torch.randn(2, 3, requires_grad=True)
    taught = with_rest(torch.log(torch.tensor([[0.5, 0.2, 0.1], [0.3, 0.2, 0.1]])))
    loss = stratified_loss(of_ids, taught, torch.tensor([[0, 1, 2], [0, 0, 1]]))
    assert float(loss[0].detach()) == 0
    loss.sum().backward()
    assert of_ids.grad is not None
    assert torch.isfinite(of_ids.grad).all()
    assert of_ids.grad[1].abs().sum() > 0


def test_states_alike_cost_nothing_and_the_scale_does_not_count() -> None:
    torch.manual_seed(0)
    states = torch.randn(6, 4)
    assert states_loss(states, states).tolist() == [0.0] * 6
    far = states_loss(states + 1, states)
    torch.testing.assert_close(states_loss(10 * (states + 1), 10 * states), far)
    assert float(states_loss(torch.zeros(6, 4), states).mean()) == pytest.approx(1.0)


def test_relations_are_compared_as_an_independent_divergence_says() -> None:
    torch.manual_seed(0)
    heads, inside = 2, torch.tensor([[True] * 4, [False, True, True, True]])
    own, teacher = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 8)
    parts = []
    for a, b in ((0, 1), (2, 2)):
        divergences = []
        for row in range(2):
            for head in range(heads):
                for place in range(4):
                    if not inside[row, place]:
                        continue
                    earlier = [i for i in range(place + 1) if inside[row, i]]
                    logs = []
                    for x in (own, teacher):
                        w = x.shape[-1] // heads
                        cut = slice(head * w, (head + 1) * w)
                        products = x[b, row, earlier][:, cut] @ x[a, row, place, cut] / w**0.5
                        logs.append(torch.log_softmax(products, 0))
                    divergences.append(
                        torch.nn.functional.kl_div(
                            logs[0], logs[1], reduction="sum", log_target=True
                        )
                    )
        parts.append(torch.stack(divergences).mean())
    result = relations_loss(own, teacher, heads, inside)
    assert float(result) == pytest.approx(float(sum(parts)) / 2, rel=1e-5)
    assert float(relations_loss(teacher, teacher, heads, inside)) == pytest.approx(0, abs=1e-6)
