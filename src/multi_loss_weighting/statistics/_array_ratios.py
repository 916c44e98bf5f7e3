"""The loss ratios of K losses and the weights that follow from them, for arrays: see `_arrays`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._array_library import Array, Arrays, arrays_of
from ._arrays import addition, choose, huge
from ._record import EPSILON

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._settings import RatioSettings


class RatioStatistics(NamedTuple):
    """Statistics of the loss ratios l_t = L_t / mu_{t-1} so far, an array [K] for each.

    `reference` is the running mean of the loss's magnitude, `count` how many values entered since
    it began; `spikes` and `restarts` count what the guards did, `streak` the spikes in a row. The
    fields `lost_…` hold what rounding lost in float32.
    """

    count: Array
    reference: Array
    lost_reference: Array
    mean: Array
    lost_mean: Array
    variance: Array
    lost_variance: Array
    streak: Array
    spikes: Array
    restarts: Array


def no_ratios(zeros: Callable[[], Array], counts: Callable[[], Array]) -> RatioStatistics:
    """Before the first loss, from what makes K zeros and K counts of 0."""
    means = {name: zeros() for name in RatioStatistics._fields[1:7]}
    return RatioStatistics(
        counts(),
        **means | {"mean": zeros() + 1},
        streak=counts(),
        spikes=counts(),
        restarts=counts(),
    )


def add_ratios(
    xp: Arrays, old: RatioStatistics, losses: Array, is_finite: Array, settings: RatioSettings
) -> RatioStatistics:
    """Take in K losses; those that are not finite are 0 here, and change nothing."""
    highest = min(settings.highest, huge(losses.dtype == xp.float32))
    size = abs(losses)
    has_begun = old.reference > 0
    ratio = xp.where(has_begun, size / xp.where(has_begun, old.reference, 1.0), 1.0)
    is_near = (ratio >= settings.lowest) & (ratio <= highest)
    start = choose(xp, has_begun, old, _begun(xp, old, size))
    near = xp.where(is_near, ratio, 1.0)
    joins = is_finite & is_near & (has_begun | (size > 0))  # by 0 nothing can be measured
    return choose(
        xp,
        joins,
        _entered(xp, start, size, near, settings.least),
        _kept_out(xp, old, is_finite & ~is_near, settings.patience),
    )


def _begun(xp: Arrays, old: RatioStatistics, size: Array) -> RatioStatistics:
    """Measured by these losses, which are yet to enter."""
    fresh = no_ratios(lambda: xp.zeros_like(size), lambda: xp.zeros_like(old.count))
    restarts = old.restarts + xp.cast(old.spikes > 0, xp.int32)
    return fresh._replace(reference=size, spikes=old.spikes, restarts=restarts)


def _entered(
    xp: Arrays, old: RatioStatistics, size: Array, ratio: Array, least: float
) -> RatioStatistics:
    """With a ratio near its mean taken in."""
    plus = addition(xp, size)
    count = old.count + 1
    share = 1 / xp.cast(count, size.dtype)
    share = xp.where(share < least, least, share)
    delta = ratio - old.mean
    change = share * delta
    reference, lost_reference = plus(
        old.reference, old.lost_reference, share * (size - old.reference)
    )
    mean, lost_mean = plus(old.mean, old.lost_mean, change)
    variance, lost_variance = (1 - share) * (old.variance + change * delta), old.lost_variance
    if size.dtype == xp.float32:
        step = (1 - share) * change * delta - share * old.variance
        variance, lost_variance = plus(old.variance, old.lost_variance, step)
    return old._replace(
        count=count,
        reference=reference,
        lost_reference=lost_reference,
        mean=mean,
        lost_mean=lost_mean,
        variance=variance,
        lost_variance=lost_variance,
        streak=xp.zeros_like(old.streak),
    )


def _kept_out(xp: Arrays, old: RatioStatistics, is_far: Array, patience: int) -> RatioStatistics:
    """With what is far counted; so many in a row are the new level, where the next one begins."""
    far = xp.cast(is_far, xp.int32)
    streak = old.streak + far
    has_moved = is_far & (streak >= patience)
    return old._replace(
        count=xp.where(has_moved, 0, old.count),
        reference=xp.where(has_moved, 0.0, old.reference),
        streak=streak,
        spikes=old.spikes + far,
    )


def cov_shares(ratios: RatioStatistics, warmup: int) -> Array:
    """The weights of CoV-Weighting, which sum to 1: c = sigma_l / mu_l over the sum of all c.

    A loss whose ratio has seen fewer than `warmup` values gets 1/K; the others share the rest.
    """
    xp, count = arrays_of(ratios.mean), ratios.mean.shape[0]
    is_young = ratios.count < warmup
    cov = xp.where(is_young, 0.0, xp.sqrt(ratios.variance + EPSILON) / ratios.mean)
    total = xp.sum(cov)
    rest = 1 - xp.sum(xp.cast(is_young, cov.dtype)) / count
    return xp.where(is_young, 1 / count, rest * cov / xp.where(total > 0, total, 1.0))
