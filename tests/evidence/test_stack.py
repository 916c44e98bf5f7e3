"""Networks that are weighed in a stack train as each would alone, with every method."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from evidence.methods import ALL, Method
from evidence.problems import Problem
from evidence.stack import WeighedStack, gradient_products, split, stand_in
from torch import Tensor, nn

from multi_loss_weighting import CoVWeighting, LossGroup, Weighted, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multi_loss_weighting import History

NAMES = ("near", "far")
STEPS = 55  # more than an epoch of DWA


class Regression:
    """Two outputs of one small network, whose losses are far apart in size."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._random = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.inputs, self.targets = self.draw(16, 3), self.draw(16, 2)
        self.first, self.last = self.draw(3, 5).requires_grad_(), self.draw(5, 2).requires_grad_()
        self.parameters: Sequence[Tensor] = [self.first, self.last]
        self.shared: Sequence[Tensor] = [self.first]

    def draw(self, *shape: int) -> Tensor:
        draws = [torch.randn(shape, generator=it, dtype=torch.float64) for it in self._random]
        return torch.stack(draws)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        chosen = slice(step % 4, None, 4)
        outputs = (self.inputs[:, chosen] @ self.first).tanh() @ self.last
        near, far = (outputs - self.targets[:, chosen]).square().mean(dim=1).unbind(dim=1)
        return {"near": near, "far": 50 * far}

    def metric(self) -> Tensor:
        return self.last.detach().abs().sum(dim=(1, 2))

    def collapsed(self) -> Tensor:
        return self.metric() == 0


PROBLEM = Problem(
    "regression",
    "Two outputs",
    "might matter",
    NAMES,
    "size of the last layer",
    Regression,
    steps=STEPS,
    full_steps=STEPS,
    rates=(0.01,),
    constants={"far": (1.0, 0.1)},
    targets={"far": 20.0},
)


@cache
def trained(method: Method, seeds: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The parameters after some steps, and the weights of each step."""
    task = Regression(seeds)
    stack = WeighedStack(PROBLEM, method, seeds, task.shared, {"far": 0.1})
    for group in stack.groups:
        group.double()
    optimizer = torch.optim.Adam([*task.parameters, *stack.parameters()], lr=0.01)
    seen = []
    for step in range(STEPS):
        losses = torch.stack([*task.losses(step).values()], dim=1)
        optimizer.zero_grad()
        stack.total(losses, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seen.append(stack.weights())
    flat = torch.cat([parameter.detach().flatten(1) for parameter in task.parameters], dim=1)
    return flat, torch.stack(seen, dim=1)


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)
def test_a_stack_trains_as_each_network_alone(method: Method) -> None:
    seeds = (0, 1)

    together = trained(method, seeds)
    alone = [trained(method, (seed,)) for seed in seeds]

    for stacked, single in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(stacked, torch.cat(single), rtol=1e-8, atol=1e-10)


def test_a_network_alone_trains_as_by_the_package_itself() -> None:
    task = Regression([1])
    group = LossGroup(NAMES, weighting=CoVWeighting())
    optimizer = torch.optim.Adam(task.parameters, lr=0.01)
    for step in range(STEPS):
        optimizer.zero_grad()
        group.update({name: loss[0] for name, loss in task.losses(step).items()})
        optimizer.step()

    cov = next(method for method in ALL if method.name == "cov")
    stacked, _ = trained(cov, (1,))
    own = torch.cat([parameter.detach().flatten(1) for parameter in task.parameters], dim=1)
    torch.testing.assert_close(stacked, own, rtol=1e-12, atol=1e-12)


def test_the_moving_weights_move() -> None:
    for method in ALL:
        _, weights = trained(method, (0,))

        assert (weights.std(dim=1).max() > 0) == (method.moves or method.name == "random"), method


def test_products_are_those_of_each_networks_own_gradients() -> None:
    task = Regression([0, 1])
    losses = torch.stack([*task.losses(0).values()], dim=1)

    products = gradient_products(losses, task.parameters)

    for seed in range(2):
        rows = [
            nn.utils.parameters_to_vector(
                [
                    gradient[seed].contiguous()
                    for gradient in torch.autograd.grad(loss, task.parameters, retain_graph=True)
                ]
            )
            for loss in losses[seed]
        ]
        matrix = torch.stack(rows)
        torch.testing.assert_close(products[seed], matrix @ matrix.T)


class RaisesWhereNearIsLarge:
    """Weights that are not finite, as some methods give where a gradient vanishes."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, [math.inf if losses[0] > 2 else 1.0, 1.0])


def test_a_seed_whose_method_raises_stops_and_the_others_train_on() -> None:
    method = Method("raises", "raises", lambda _: RaisesWhereNearIsLarge())
    task = Regression([0, 1])
    stack = WeighedStack(PROBLEM, method, [0, 1], task.shared, {})
    losses = torch.tensor([[1.0, 1.0], [3.0, 1.0]], dtype=torch.float64, requires_grad=True)

    stack.total(losses, 0).backward()  # type: ignore[no-untyped-call]

    assert stack.stopped.tolist() == [False, True]
    assert losses.grad is not None
    assert losses.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert stack.total(losses, 1).item() == 2.0


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e9])
def test_a_stand_in_has_the_norms_and_cosines_of_the_gradients(factor: float) -> None:
    rows = torch.randn(4, 3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows[:, 0] *= factor
    rows[1, 2] = rows[1, 1]  # parallel ones
    rows[2, 1] = 0.0

    products = rows @ rows.mT
    own = stand_in(products)
    norms, cosines = split(products)
    own_norms, own_cosines = split(own @ own.mT)

    torch.testing.assert_close(own_norms, norms, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(own_cosines, cosines, rtol=1e-9, atol=1e-9)


def test_a_gradient_that_is_not_finite_stands_in_for_none() -> None:
    products: Any = torch.tensor([[[float("nan"), 1.0], [1.0, 4.0]]], dtype=torch.float64)

    own = stand_in(products)

    assert own.isfinite().all()
    assert own[0].norm(dim=1).tolist() == [0.0, 2.0]
