"""Mean, spread and extremes of K losses as a pure function; `Moments` is the same for one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._arrays import Array, Arrays

Fields = TypeVar("Fields", bound=tuple[Any, ...])


class LossStatistics(NamedTuple):
    """Statistics of the raw losses so far, an array [K] for each.

    `count` is how many finite values came, `nonfinite` how many others. Before the first the mean
    and the variance are 0, and the extremes infinite.

    The fields `lost_…` hold what rounding lost (Kahan), so that float32 stays true over any number
    of steps.
    """

    count: Array
    mean: Array
    lost_mean: Array
    variance: Array
    lost_variance: Array
    minimum: Array
    maximum: Array
    nonfinite: Array


def no_losses(zeros: Callable[[], Array], counts: Callable[[], Array]) -> LossStatistics:
    """Before the first loss, from what makes K zeros and K counts of 0."""
    return LossStatistics(
        counts(),
        zeros(),
        zeros(),
        zeros(),
        zeros(),
        zeros() + math.inf,
        zeros() - math.inf,
        counts(),
    )


def add_losses(xp: Arrays, old: LossStatistics, losses: Array, is_finite: Array) -> LossStatistics:
    """Take in K losses; those that are not finite are 0 here, and only counted."""
    count = old.count + 1
    share = 1 / xp.cast(count, losses.dtype)
    new = old._replace(
        count=count,
        **moved_moments(old, losses, share),
        minimum=xp.where(losses < old.minimum, losses, old.minimum),
        maximum=xp.where(losses > old.maximum, losses, old.maximum),
    )
    unchanged = old._replace(nonfinite=old.nonfinite + 1)
    return choose(xp, is_finite, new, unchanged)


def moved_moments(old: Any, value: Array, share: Array) -> dict[str, Array]:
    """Mean and variance with `value` taken in by its share, and what rounding lost."""
    delta = value - old.mean
    mean, lost_mean = moved(old.mean, old.lost_mean, value, share)
    square = (1 - share) * delta * delta
    variance, lost_variance = moved(old.variance, old.lost_variance, square, share)
    return {
        "mean": mean,
        "lost_mean": lost_mean,
        "variance": variance,
        "lost_variance": lost_variance,
    }


def moved(mean: Array, lost: Array, target: Array, share: Array) -> tuple[Array, Array]:
    """`mean` moved towards `target` by its share, and what rounding lost of the step."""
    step = share * (target - mean) - lost
    new = mean + step
    return new, (new - mean) - step


def choose(xp: Arrays, condition: Array, one: Fields, other: Fields) -> Fields:
    """Each field from `one` where the condition holds, else from `other`."""
    fields = (xp.where(condition, *pair) for pair in zip(one, other, strict=True))
    return type(one)(*fields)
