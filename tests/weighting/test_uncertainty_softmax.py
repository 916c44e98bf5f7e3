from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from multi_loss_weighting import LossGroup, UncertaintySoftmax

ABC = ("a", "b", "c")


def published(losses: Any, temperature: float) -> Any:
    """softmax of 1 / (T L)."""
    powers = np.exp(1 / (temperature * np.array(losses)))
    return powers / powers.sum()


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
def test_it_gives_the_numbers_of_the_paper_for_the_losses_of_the_step(
    temperature: float, log_every: int | None
) -> None:
    weighting = UncertaintySoftmax(temperature=temperature)
    group = LossGroup(ABC, weighting=weighting, log_every=log_every)

    for row in np.random.default_rng(0).lognormal(0, 0.5, (5, 3)):
        losses = torch.tensor(row, requires_grad=True)
        total = group.update(dict(zip(ABC, losses, strict=True)))

        expected = published(row, temperature)
        assert total.item() == pytest.approx((expected * row).sum(), rel=1e-12)
        assert losses.grad is not None
        assert losses.grad.tolist() == pytest.approx(expected, rel=1e-12)
        assert [*group.weights.values()] == pytest.approx(expected, rel=1e-12)


def test_the_smaller_loss_weighs_more_and_less_so_when_it_is_warm() -> None:
    losses = {"a": 0.5, "b": 1.0, "c": 2.0}
    cold, warm = (
        LossGroup(ABC, weighting=UncertaintySoftmax(temperature=temperature))
        for temperature in (0.5, 10.0)
    )
    for group in (cold, warm):
        group.update(losses, do_backwards=False)

    assert cold.weights["a"] > warm.weights["a"] > 1 / 3 > warm.weights["c"] > cold.weights["c"]


def test_a_missing_loss_counts_at_its_mean_so_that_the_others_keep_their_weight() -> None:
    group = LossGroup(ABC, weighting=UncertaintySoftmax())
    losses = {"a": 0.5, "b": 1.0, "c": 2.0}
    group.update(losses, do_backwards=False)
    before = group.weights

    group.update({"a": 0.5, "b": 1.0}, do_backwards=False)

    assert group.weights["a"] == pytest.approx(before["a"])
    assert group.weights["b"] == pytest.approx(before["b"])
    assert group.next_weights() == pytest.approx(before)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("way", ["host", "late", "compiled"])
@pytest.mark.filterwarnings("ignore:loss 'c' is")
def test_a_loss_that_is_kept_though_it_is_not_finite_counts_at_its_mean_too(
    way: str, value: float
) -> None:
    log_every = 2 if way == "late" else None
    group = LossGroup(ABC, weighting=UncertaintySoftmax(), nonfinite="keep", log_every=log_every)
    group.record({"a": 0.5, "b": 1.0, "c": 2.0})
    before = group.weights
    weigh = torch.compile(group.weigh, backend="eager") if way == "compiled" else group.weigh
    losses = {"a": torch.tensor(0.5), "b": torch.tensor(1.0), "c": torch.tensor(value)}

    weigh(losses)
    group.record(losses)

    assert group.weights == pytest.approx(before)


@pytest.mark.parametrize("value", [0.0, 1e-300, math.nan, math.inf, -3.0, 1e300])
@pytest.mark.filterwarnings("ignore:loss 'a' is")
def test_any_loss_leaves_weights_that_are_finite(value: float) -> None:
    group = LossGroup(ABC, weighting=UncertaintySoftmax(temperature=1e-3))
    for _ in range(3):
        group.update({"a": value, "b": 1.0, "c": 2.0}, do_backwards=False)

        assert sum(group.weights.values()) == pytest.approx(1)
        assert all(0 <= weight <= 1 for weight in group.weights.values())


def test_a_loss_that_comes_late_counts_at_once() -> None:
    group = LossGroup(weighting=UncertaintySoftmax())
    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    group.update({"a": 1.0, "b": 2.0, "c": 0.5}, do_backwards=False)

    assert [*group.weights.values()] == pytest.approx(published([1.0, 2.0, 0.5], 1.0))


def test_weights_may_sum_to_their_number() -> None:
    group = LossGroup(ABC, weighting=UncertaintySoftmax(sum_to="K"))
    group.update({"a": 0.5, "b": 1.0, "c": 2.0}, do_backwards=False)

    assert sum(group.weights.values()) == pytest.approx(3)


def test_before_anything_is_known_all_weigh_the_same() -> None:
    group = LossGroup(ABC, weighting=UncertaintySoftmax())

    assert [*group.weights.values()] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0, got"):
        UncertaintySoftmax(temperature=temperature)
