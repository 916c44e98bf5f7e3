"""One mean of each loss out of several: over micro-batches, and over ranks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Tallied(NamedTuple):
    """What a tally says, as plain numbers.

    Attributes:
        losses: The mean of each loss; nan where none is finite.
        samples: What each mean weighs in the statistics: the samples of one micro-batch on one
            rank, in the mean, so that a step weighs alike on any number of ranks.
        nonfinite: How many losses were not finite.
        given: Whether there was any.
    """

    losses: list[float]
    samples: list[float]
    nonfinite: list[float]
    given: list[bool]


def tally(losses: Tensor, given: list[bool] | None, samples: float) -> Tensor:
    """The sums of one micro-batch on one rank, [4, K]. Sums add up, over both.

    Args:
        losses: The losses, [K].
        given: Which of them there are; None for all.
        samples: How many samples they are the mean of.

    Returns:
        For each loss the sum of loss times samples, the sum of samples, and how many losses are
        finite, and how many are not.
    """
    is_finite = losses.isfinite()
    is_nonfinite = is_finite.logical_not()
    if given is not None:
        is_given = torch.tensor(given).to(losses.device, non_blocking=True)
        is_nonfinite.logical_and_(is_given)
        is_finite.logical_and_(is_given)
    count = is_finite.to(losses.dtype)
    return torch.stack(
        [losses.nan_to_num(0.0, 0.0, 0.0) * count * samples, count * samples, count, is_nonfinite]
    )


def means_of(sums: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each loss [K], nan where none is finite, and the samples that it weighs."""
    total, samples, count, _ = sums
    # Where there is none the mean is nan and weighs 0, which leaves what is known as it is.
    return total / samples, samples / count.clamp_min(1)


def read_tally(sums: list[float]) -> Tallied:
    """The numbers of a tally that was flattened."""
    count = len(sums) // 4
    total, samples, finite, nonfinite = (sums[row * count :][:count] for row in range(4))
    return Tallied(
        [one / weight if weight else math.nan for one, weight in zip(total, samples, strict=True)],
        [weight / many if many else 1.0 for weight, many in zip(samples, finite, strict=True)],
        nonfinite,
        [many + bad > 0 for many, bad in zip(finite, nonfinite, strict=True)],
    )
