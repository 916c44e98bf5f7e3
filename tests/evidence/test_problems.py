from __future__ import annotations

import pytest
import torch
from evidence.problems import PROBLEMS, Problem, Task

for needed in ("mlxtend", "skimage", "sklearn"):
    pytest.importorskip(needed, reason="needs the packages of the evidence group")

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))


def plain_sum(task: Task, step: int) -> torch.Tensor:
    return torch.stack(list(task.losses(step).values())).sum()


def gradients(task: Task, step: int) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(plain_sum(task, step), task.parameters)


@every_problem
def test_a_seed_is_the_same_in_any_stack(problem: Problem) -> None:
    stack, alone = problem.make([3, 1, 2]), problem.make([1])

    for step in (0, 130):
        for name, loss in alone.losses(step).items():
            torch.testing.assert_close(stack.losses(step)[name][1:2], loss)
        for of_stack, of_one in zip(gradients(stack, step), gradients(alone, step), strict=True):
            torch.testing.assert_close(of_stack[1:2], of_one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stack.metric()[1:2], alone.metric())


@every_problem
def test_each_seed_has_numbers_of_its_own(problem: Problem) -> None:
    losses = problem.make([1, 2, 3]).losses(0)

    assert all(len(set(losses[name].tolist())) == 3 for name in problem.losses)


@every_problem
def test_a_step_can_be_asked_for_twice(problem: Problem) -> None:
    task = problem.make([1])
    first = task.losses(7)
    task.losses(333)

    assert {name: loss.item() for name, loss in task.losses(7).items()} == {
        name: loss.item() for name, loss in first.items()
    }


@every_problem
def test_each_loss_reaches_what_is_shared(problem: Problem) -> None:
    task = problem.make([1, 2])
    losses = task.losses(0)

    assert tuple(losses) == problem.losses
    for loss in losses.values():
        assert loss.shape == (2,)
        for gradient in torch.autograd.grad(loss.sum(), task.shared, retain_graph=True):
            assert (gradient.flatten(1).norm(dim=1) > 0).all()


@every_problem
def test_training_lowers_the_plain_sum(problem: Problem) -> None:
    task = problem.make([1, 2])
    before = plain_sum(task, 0)
    optimizer = torch.optim.Adam(task.parameters, lr=problem.rates[1])

    for step in range(200):
        optimizer.zero_grad()
        plain_sum(task, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 20 == 19 and plain_sum(task, 0) < 0.9 * before:
            break

    assert plain_sum(task, 0) < 0.9 * before
    assert task.metric().shape == task.collapsed().shape == (2,)
    assert task.metric().isfinite().all()


@every_problem
def test_its_description_fits_its_losses(problem: Problem) -> None:
    assert PROBLEMS[problem.name] is problem
    assert problem.family in {"should matter", "might matter", "should not matter"}
    assert set(problem.constants) <= set(problem.losses)
    assert all(grid[0] == 1 for grid in problem.constants.values())
    assert sorted(problem.rates) == list(problem.rates)
