from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from multi_loss_weighting import LossGroup, ReLoBRaLo

ABC = ("a", "b", "c")


def noise(steps: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).lognormal(0, [0.1, 0.3, 0.6], (steps, 3))


def authors_weights(
    losses: Any, alpha: float, temperature: float, is_kept: list[bool]
) -> list[Any]:
    """The course of their class: lambda after each loss of the stream, written down anew."""
    count = losses.shape[1]

    def softmax(logits: Any) -> Any:
        powers = np.exp(logits - logits.max())
        return count * powers / powers.sum()

    weights, last, first, course = np.ones(count), losses[0], losses[0], []
    for step, row in enumerate(losses):
        if step:
            own_alpha, rho = (0.0, 1.0) if step == 1 else (alpha, float(is_kept[step]))
            by_last = softmax(row / (last * temperature))
            by_first = softmax(row / (first * temperature))
            kept = rho * own_alpha * weights + (1 - rho) * own_alpha * by_first
            weights = kept + (1 - own_alpha) * by_last
        last = row
        course.append(weights)
    return course


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("rho", [1.0, 0.0])
def test_it_gives_the_numbers_of_the_authors_one_step_later(
    rho: float, log_every: int | None
) -> None:
    losses = noise(40)
    expected = authors_weights(losses, 0.9, 0.5, [bool(rho)] * 40)
    weighting = ReLoBRaLo(alpha=0.9, temperature=0.5, rho=rho)
    group = LossGroup(ABC, weighting=weighting, log_every=log_every)

    for row, weights in zip(losses, expected, strict=True):
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)

        assert [*group.next_weights().values()] == pytest.approx(weights, rel=1e-12)


def test_it_looks_back_as_often_as_rho_says_and_at_the_same_steps_again() -> None:
    losses = np.ones((400, 3))
    losses[0] = 1, 2, 4

    def course() -> list[float]:
        group = LossGroup(ABC, weighting=ReLoBRaLo(alpha=1.0, temperature=1.0, rho=0.9))
        weights = []
        for row in losses:
            group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)
            weights.append(group.next_weights()["a"])
        return weights

    # By the start a weighs more than 1; by the step before, all alike, and at first 1.
    one = course()
    assert one == course()
    assert one[1] > 1.2
    assert len(set(np.round(one[1:], 9))) == 1


def test_the_weights_sum_to_their_number() -> None:
    group = LossGroup(ABC, weighting=ReLoBRaLo(temperature=0.05, rho=0.5))
    for row in noise(30):
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)

        assert sum(group.next_weights().values()) == pytest.approx(3)


def test_the_loss_that_falls_less_weighs_more() -> None:
    group = LossGroup(ABC, weighting=ReLoBRaLo(alpha=0.5))
    for step in range(20):
        losses = {"a": 0.8**step, "b": 0.95**step, "c": 1.0}
        group.update(losses, do_backwards=False)

    weights = group.next_weights()
    assert weights["a"] < weights["b"] < weights["c"]


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1e300, 1e300])
@pytest.mark.filterwarnings("ignore:loss 'a' is")
def test_any_loss_leaves_weights_that_are_finite(value: float) -> None:
    group = LossGroup(ABC, weighting=ReLoBRaLo(rho=0.5))
    for step in range(12):
        losses = {"a": value if step % 3 == 0 else 1.0, "b": 1.0, "c": 0.5}
        group.update(losses, do_backwards=False)

        assert all(0 <= weight <= 3.001 for weight in group.next_weights().values())


def test_a_loss_that_takes_no_part_keeps_its_weight() -> None:
    group = LossGroup(ABC, weighting=ReLoBRaLo(alpha=0.5))
    for row in noise(10):
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)
    before = group.next_weights()

    group.update({"b": 1.0, "c": 5.0}, do_backwards=False)
    after = group.next_weights()

    assert after["a"] == before["a"]
    assert after["b"] != before["b"]


def test_a_loss_that_comes_late_begins_at_one() -> None:
    group = LossGroup(weighting=ReLoBRaLo(alpha=0.5))
    for step in range(5):
        group.update({"a": 1.0, "b": 0.5**step}, do_backwards=False)

    group.update({"a": 1.0, "b": 1.0, "late": 5.0}, do_backwards=False)

    assert group.weights["late"] == group.next_weights()["late"] == 1


def test_the_weights_reach_the_gradient() -> None:
    group = LossGroup(ABC, weighting=ReLoBRaLo(alpha=0.5))
    for row in noise(10):
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)
    losses = torch.ones(3, requires_grad=True)

    group.update(dict(zip(ABC, losses, strict=True)))

    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([*group.weights.values()])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.5}, "alpha must be 0 to 1, got 1.5"),
        ({"temperature": 0}, "temperature must be above 0, got 0"),
        ({"rho": -0.1}, "rho must be 0 to 1, got -0.1"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReLoBRaLo(**settings)
