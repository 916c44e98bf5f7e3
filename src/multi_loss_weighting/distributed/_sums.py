"""One mean of each loss out of several: over micro-batches, and over ranks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# Sums of losses are kept this much smaller, so that those near the largest float do not overflow.
# A power of two rounds nothing that is above 1e-298 (in float32: above 1e-28).
_SCALE = 2.0**-32


class Tallied(NamedTuple):
    """What a tally says, as plain numbers.

    Attributes:
        losses: The mean of each loss; nan where none is finite.
        samples: How many samples each mean is of, over all micro-batches and ranks.
        nonfinite: How many losses were not finite.
        given: Whether there was any.
        used: The mean of what `max_loss` left of each.
    """

    losses: list[float]
    samples: list[float]
    nonfinite: list[float]
    given: list[bool]
    used: list[float]


def tally(
    losses: Tensor,
    given: list[bool] | None,
    samples: float | Tensor,
    used: Tensor | None = None,
) -> Tensor:
    """The sums of one micro-batch on one rank, [5, K]. Sums add up, over both.

    Args:
        losses: The losses, [K].
        given: Which of them there are; None for all.
        samples: How many samples they are the mean of: a number, or a tensor without dimensions,
            which is not read. The losses of no samples count as not given.
        used: What `max_loss` left of the losses, [K]; None for all of them.

    Returns:
        For each loss the sum of loss times samples, scaled, the sum of samples, how many losses
        are finite, how many are not, and the first sum again of what `max_loss` left.

    >>> tallied = tally(torch.tensor([2.0, torch.nan]), None, 4) + tally(torch.ones(2), None, 0)
    >>> read_tally(tallied.flatten().tolist()).losses
    [2.0, nan]
    """
    is_finite = losses.isfinite()
    is_nonfinite = is_finite.logical_not()
    if given is not None:
        is_given = torch.tensor(given, device="cpu").to(losses.device, non_blocking=True)
        is_nonfinite.logical_and_(is_given)
        is_finite.logical_and_(is_given)
    if isinstance(samples, Tensor) or samples == 0:
        samples = torch.as_tensor(samples, dtype=losses.dtype, device=losses.device)
        samples = samples.detach().nan_to_num(0.0, 0.0, 0.0)
        has_samples = samples > 0
        is_nonfinite.logical_and_(has_samples)
        is_finite.logical_and_(has_samples)
    count = is_finite.to(losses.dtype)
    scaled = count * (samples * _SCALE)
    total = losses.nan_to_num(0.0, 0.0, 0.0) * scaled
    left = total if used is None or used is losses else used.nan_to_num(0.0, 0.0, 0.0) * scaled
    return torch.stack([total, count * samples, count, is_nonfinite, left])


def by_name(sums: Tensor, names: tuple[str, ...], wanted: tuple[str, ...]) -> Tensor:
    """The columns of `sums` [5, K], which are of `names`, for `wanted`; 0 for one that they lack.

    >>> by_name(torch.eye(2), ("a", "b"), ("b", "c", "a"))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    if names[: len(wanted)] == wanted:
        return sums[:, : len(wanted)]
    places = {name: place for place, name in enumerate(names)}
    columns = [places.get(name, len(names)) for name in wanted]
    return functional.pad(sums, (0, 1)).index_select(1, torch.tensor(columns, device=sums.device))


def means_of(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of each loss [K], nan where none is finite, of how many samples, and as used."""
    samples = sums[1]
    # Where there is none the mean is nan and weighs 0, which leaves what is known as it is.
    means, used = sums[::4] / samples / _SCALE
    return means, samples, used


def read_tally(sums: list[float]) -> Tallied:
    """The numbers of a tally that was flattened."""
    count = len(sums) // 5
    total, samples, finite, nonfinite, used = (sums[row * count :][:count] for row in range(5))
    means, left = (
        [
            one / weight / _SCALE if weight else math.nan
            for one, weight in zip(row, samples, strict=True)
        ]
        for row in (total, used)
    )
    return Tallied(
        means,
        [weight or 1.0 for weight in samples],
        nonfinite,
        [many + bad > 0 for many, bad in zip(finite, nonfinite, strict=True)],
        left,
    )
