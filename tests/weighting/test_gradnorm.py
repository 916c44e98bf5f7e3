from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from multi_loss_weighting import GradNorm, LossGroup

from .networks import TwoHeads, norms

NAMES = ("small", "large")


def published(courses: Any, alpha: float, lr: float) -> list[float]:
    """Algorithm 1 with torch's own Adam and autograd, from the norms and losses of each step."""
    weights = torch.ones(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=lr)
    first = courses[0][1]
    for sizes, losses in courses:
        fallen = torch.tensor(
            [now / then for now, then in zip(losses, first, strict=True)]
        ).double()
        rate = fallen / fallen.mean()
        own = weights * torch.tensor(sizes).double()
        wanted = (own.mean() * rate**alpha).detach()
        adam.zero_grad()
        (own - wanted).abs().sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            weights *= 2 / weights.sum()
    found: list[float] = weights.tolist()
    return found


@pytest.mark.parametrize("log_every", [None, 1])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_it_gives_the_numbers_of_the_paper(alpha: float, log_every: int | None) -> None:
    net = TwoHeads(scale=3.0)
    weighting = GradNorm(net.trunk.weight, alpha=alpha, lr=0.05)
    group = LossGroup(NAMES, weighting=weighting, log_every=log_every)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    courses = []
    for step in range(15):
        optimizer.zero_grad()
        losses = net(step)
        sizes = norms(losses, net.trunk.weight)
        courses.append(([*sizes.values()], [loss.item() for loss in losses.values()]))
        group.update(losses)
        optimizer.step()

    assert [*group.next_weights().values()] == pytest.approx(
        published(courses, alpha, 0.05), rel=1e-4
    )


def test_gradients_come_to_one_size() -> None:
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup(["strong", "weak"], weighting=GradNorm(parameter, alpha=0.0, lr=0.02))
    for _ in range(300):
        group.update({"strong": 3 * parameter[0], "weak": parameter[1]})

    assert group.weights == pytest.approx({"strong": 0.5, "weak": 1.5}, abs=0.05)


def test_no_weight_goes_below_zero_and_they_keep_their_sum() -> None:
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup(["strong", "weak"], weighting=GradNorm(parameter, lr=0.5))
    for _ in range(100):
        group.update({"strong": 1e6 * parameter[0], "weak": parameter[1]})

        assert sum(group.next_weights().values()) == pytest.approx(2)
        assert min(group.next_weights().values()) > 0


def test_a_loss_without_gradient_or_that_is_missing_keeps_its_weight() -> None:
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup(["a", "b"], weighting=GradNorm(parameter))
    for _ in range(5):
        group.update({"a": 3 * parameter[0], "b": parameter[1]})
    before = group.next_weights()

    group.update({"a": 3 * parameter[0]})
    group.update({"a": 3 * parameter[0], "b": parameter[1] * 0 + 1})
    with pytest.warns(RuntimeWarning, match="loss 'b' is nan"):
        group.update({"a": 3 * parameter[0], "b": parameter[1] * math.nan})

    assert group.next_weights() == pytest.approx(before)


def test_a_resumed_run_goes_on_bit_for_bit() -> None:
    net = TwoHeads()
    group = LossGroup(NAMES, weighting=GradNorm(net.parameters()))
    for step in range(4):
        group.update(net(step))
    net.hidden = torch.zeros(())  # a copy takes no graph
    new_net = copy.deepcopy(net)
    new = LossGroup(NAMES, weighting=GradNorm(new_net.parameters()))
    new.load_state_dict(group.state_dict())

    for step in range(4, 9):
        group.update(net(step))
        new.update(new_net(step))

        assert new.next_weights() == group.next_weights()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": math.nan}, "alpha must be a finite number, got nan"),
        ({"lr": 0}, "lr must be above 0, got 0"),
        ({"every": 1.5}, "every must be a whole number of steps, 1 or more, got 1.5"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradNorm(torch.ones(1, requires_grad=True), **settings)
