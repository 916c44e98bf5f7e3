from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from multi_loss_weighting import LossGroup, SoftAdapt
from multi_loss_weighting.weighting._per_loss import softmax_shares

ABC = ("a", "b", "c")


def fed(losses: Any, **settings: Any) -> LossGroup:
    group = LossGroup(ABC, weighting=SoftAdapt(**settings))
    for row in losses:
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)
    return group


def published(rates: Any, beta: float, normalize: bool, sizes: Any) -> Any:
    """The three variants of section 3.1, written down anew."""
    rates = np.array(rates)
    if normalize:
        rates = rates / np.abs(rates).sum()
    powers = np.exp(beta * (rates - rates.max()))
    if sizes is not None:
        powers = powers * sizes
    return powers / powers.sum()


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("by_size", [True, False])
def test_it_gives_the_numbers_of_the_paper(every: int, normalize: bool, by_size: bool) -> None:
    losses = np.random.default_rng(0).lognormal(0, 0.5, (4 * every, 3))
    blocks = losses.reshape(4, every, 3).mean(axis=1)
    rates = (blocks[3] - blocks[2]) / every
    expected = published(rates, 0.7, normalize, blocks[3] if by_size else None)

    group = fed(losses, beta=0.7, every=every, normalize=normalize, by_size=by_size)

    assert [*group.next_weights().values()] == pytest.approx(expected, rel=1e-12)


def test_its_softmax_gives_the_published_weights() -> None:
    # From the README of the authors' package: beta 0.1, and the rates of its three components.
    rates = torch.tensor([1.0, -49.191667, -491.91667], dtype=torch.float64)

    weights = softmax_shares(0.1 * rates, torch.ones(3, dtype=torch.bool))

    assert weights.tolist() == pytest.approx([9.9343336e-01, 6.5666283e-03, 3.8908041e-22], 1e-4)


def test_until_there_is_a_rate_all_weigh_the_same() -> None:
    losses = np.random.default_rng(0).lognormal(0, 0.5, (8, 3))

    assert [*fed(losses[:7], every=4).next_weights().values()] == pytest.approx([1 / 3] * 3)
    assert [*fed(losses, every=4).next_weights().values()] != pytest.approx([1 / 3] * 3)


def test_the_loss_that_falls_most_slowly_weighs_most() -> None:
    losses = [(10 - step, 10 - 0.1 * step, 10 + step) for step in range(6)]

    weights = fed(losses, every=1, beta=5.0).next_weights()
    reversed_weights = fed(losses, every=1, beta=-5.0).next_weights()

    assert weights["a"] < weights["b"] < weights["c"]
    assert reversed_weights["a"] > reversed_weights["b"] > reversed_weights["c"]


def test_weights_sum_to_one_or_to_their_number() -> None:
    losses = np.random.default_rng(0).lognormal(0, 0.5, (20, 3))

    assert sum(fed(losses).next_weights().values()) == pytest.approx(1)
    assert sum(fed(losses, sum_to="K").next_weights().values()) == pytest.approx(3)


def test_losses_that_stand_still_weigh_the_same() -> None:
    assert [*fed([[1.0, 2.0, 3.0]] * 4, every=1).next_weights().values()] == [
        pytest.approx(1 / 3)
    ] * 3


def test_a_loss_that_takes_no_part_keeps_its_rate() -> None:
    with pytest.warns(RuntimeWarning, match="loss 'a' is nan"):
        gap = fed([(3.0, 3.0, 3.0), (2.0, 2.5, 3.0), (math.nan, 2.0, 3.0)], every=1)
    whole = fed([(3.0, 3.0, 3.0), (2.0, 2.5, 3.0), (1.0, 2.0, 3.0)], every=1)

    assert gap.next_weights() == pytest.approx(whole.next_weights())


def test_a_loss_that_comes_late_weighs_its_share() -> None:
    group = LossGroup(weighting=SoftAdapt(every=1, beta=3.0))
    for step in range(4):
        group.update({"a": 4.0 - step, "b": 4.0}, do_backwards=False)

    group.update({"a": 0.5, "b": 4.0, "late": 7.0}, do_backwards=False)

    weights = group.next_weights()
    assert weights["late"] == pytest.approx(1 / 3)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["a"] < weights["b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": math.inf}, "beta must be a finite number, got inf"),
        ({"every": 0}, "every must be a whole number of values, 1 or more, got 0"),
        ({"sum_to": 2}, 'sum_to must be 1 or "K", got 2'),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SoftAdapt(**settings)
