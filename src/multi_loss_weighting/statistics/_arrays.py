"""The rules of arithmetic for arrays [K] of numpy, torch, jax and tensorflow.

`_scalar` has them for plain floats. Each function here is pure and has no branch that depends on a
value, so that it can be traced. In float64 it takes the operations of the scalar form in the same
order, so that both give the same bits. In float32 it keeps what rounding took away, in the fields
`lost_…` (Kahan), so that it stays true over any number of steps.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ._array_library import Array, Arrays, arrays_of
from ._scalar import HUGE

if TYPE_CHECKING:
    from collections.abc import Callable

Fields = TypeVar("Fields", bound=tuple[Any, ...])
Number = float | Array

_FAR = 100.0
"""A start so many times below the root mean square says nothing of the size."""
_TINY = 2.0**-126
"""Below it counts as 0: what a float32 is divided by must have an inverse."""


class LossStatistics(NamedTuple):
    """Statistics of the raw losses so far, an array [K] for each.

    `count` is how many finite values came, `nonfinite` how many others, `samples` the sum of their
    sample counts, `squares` the variance times `samples`, `first` the first finite value. Before
    the first the mean and the variance are 0, and the extremes infinite. The fields `lost_…` hold
    what rounding lost in float32.
    """

    count: Array
    samples: Array
    lost_samples: Array
    mean: Array
    lost_mean: Array
    squares: Array
    lost_squares: Array
    minimum: Array
    maximum: Array
    first: Array
    nonfinite: Array

    @property
    def variance(self) -> Array:
        """Population variance."""
        return self.squares / arrays_of(self.squares).where(self.count > 0, self.samples, 1.0)


def no_losses(zeros: Callable[[], Array], counts: Callable[[], Array]) -> LossStatistics:
    """Before the first loss, from what makes K zeros and K counts of 0."""
    return LossStatistics(
        count=counts(),
        **{name: zeros() for name in LossStatistics._fields[1:7]},
        minimum=zeros() + math.inf,
        maximum=zeros() - math.inf,
        first=zeros(),
        nonfinite=counts(),
    )


def huge(is_float32: bool) -> float:
    """Differences below it have finite squares."""
    return 1e18 if is_float32 else HUGE


def finite_or_zero(xp: Arrays, losses: Array) -> tuple[Array, Array]:
    """The losses with 0 for each that is not finite, and which are finite."""
    is_finite = abs(losses) < math.inf
    return xp.where(is_finite, losses, 0.0), is_finite


def clamped(losses: Array, limits: Number) -> Array:
    """Each loss above its limit scaled down to it, so that its gradient keeps its direction.

    Infinity and nan stay what they are.

    >>> import numpy as np
    >>> clamped(np.array([1.0, 5.0, np.inf]), 2.0)
    array([ 1.,  2., inf])
    """
    xp = arrays_of(losses)
    values = xp.stop_gradient(losses)
    is_high = (values > limits) & (values < math.inf)
    return losses * xp.where(is_high, limits / xp.where(is_high, values, 1.0), 1.0)


def sizes(start: Array, mean: Array, variance: Array, losses: Array) -> Array:
    """What to divide losses by so that they are of one size: |start|, within reason.

    At least a hundredth of the root mean square, by which a start near 0 is made up for; where
    nothing is known yet (nan), or all was 0, the loss itself, and 1 for a loss of 0.

    >>> import numpy as np
    >>> sizes(*np.array([[4.0, np.nan], [4.0, np.nan], [0.0, np.nan], [1.0, -3.0]]))
    array([4., 3.])
    """
    xp = arrays_of(losses)
    least = xp.sqrt(mean * mean + variance) / _FAR
    size = xp.where(abs(start) < least, least, abs(start))
    size = xp.where((size >= _TINY) & (size < math.inf), size, abs(losses))
    return xp.where((size >= _TINY) & (size < math.inf), size, xp.zeros_like(size) + 1.0)


def add_losses(
    xp: Arrays, old: LossStatistics, losses: Array, is_finite: Array, samples: Number = 1
) -> LossStatistics:
    """Take in K losses; those that are not finite are 0 here, and only counted."""
    left_out = old._replace(nonfinite=old.nonfinite + 1)
    return choose(xp, is_finite, with_losses(xp, old, losses, samples), left_out)


def with_losses(xp: Arrays, old: LossStatistics, losses: Array, samples: Number) -> LossStatistics:
    """With K finite losses taken in, each the mean of so many samples."""
    plus = addition(xp, losses)
    samples = xp.zeros_like(losses) + samples  # torch rounds a number over a tensor twice
    total, lost_samples = plus(old.samples, old.lost_samples, samples)
    delta = losses - old.mean + old.lost_mean
    change = delta * samples / total
    mean, lost_mean = plus(old.mean, old.lost_mean, change)
    # So far from the mean that differences may overflow.
    is_far = abs(delta) >= huge(losses.dtype == xp.float32)
    share = samples / total
    half = (losses / 2 - old.mean / 2) * share
    change = xp.where(is_far, delta * share, change)
    squares, lost_squares = plus(old.squares, old.lost_squares, old.samples * delta * change)
    return LossStatistics(
        count=old.count + 1,
        samples=total,
        lost_samples=lost_samples,
        mean=xp.where(is_far, old.mean + half + half, mean),
        lost_mean=lost_mean,
        squares=squares,
        lost_squares=lost_squares,
        minimum=xp.where(losses < old.minimum, losses, old.minimum),
        maximum=xp.where(losses > old.maximum, losses, old.maximum),
        first=xp.where(old.count > 0, old.first, losses),
        nonfinite=old.nonfinite,
    )


def addition(xp: Arrays, like: Array) -> Callable[..., tuple[Array, Array]]:
    """How a sum goes on: from it, what it lost and a step to the new ones."""
    return partial(_compensated, xp) if like.dtype == xp.float32 else _plain


def _plain(value: Array, lost: Array, step: Number) -> tuple[Array, Array]:
    return value + step, lost


def _compensated(xp: Arrays, value: Array, lost: Array, step: Number) -> tuple[Array, Array]:
    """`value + step`, and how much more than that rounding made it."""
    step = step - lost
    new = value + step
    lost = (new - value) - step
    # Nothing can be told of what overflowed.
    return new, xp.where(abs(lost) < math.inf, lost, 0.0)


def choose(xp: Arrays, condition: Array, one: Fields, other: Fields) -> Fields:
    """Each field from `one` where the condition holds, else from `other`."""
    fields = (xp.where(condition, *pair) for pair in zip(one, other, strict=True))
    return type(one)(*fields)
