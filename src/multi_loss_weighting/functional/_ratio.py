"""The ratios of K losses to their running means as a pure function; `LossRatio` is that of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from multi_loss_weighting.statistics._ratio import EPSILON, RatioSettings

from ._statistics import choose, moved, moved_moments

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._arrays import Array, Arrays

_HIGHEST = 1e30
"""Finite in float32, so that infinity is above it."""


class RatioStatistics(NamedTuple):
    """Statistics of the loss ratios l_t = L_t / mu_{t-1} so far, an array [K] for each.

    `reference` is the running mean of the loss's magnitude, `count` how many values entered since
    it began; `spikes` and `restarts` count what the guards did, `streak` the spikes in a row. The
    fields `lost_…` hold what rounding lost.
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
    return RatioStatistics(
        counts(),
        reference=zeros(),
        lost_reference=zeros(),
        mean=zeros() + 1,
        lost_mean=zeros(),
        variance=zeros(),
        lost_variance=zeros(),
        streak=counts(),
        spikes=counts(),
        restarts=counts(),
    )


def cov_of(ratios: RatioStatistics) -> Array:
    """C = sigma_l / mu_l of each loss."""
    cov: Array = (ratios.variance + EPSILON) ** 0.5 / ratios.mean
    return cov


def add_ratios(
    xp: Arrays, old: RatioStatistics, losses: Array, is_finite: Array, settings: RatioSettings
) -> RatioStatistics:
    """Take in K losses; those that are not finite are 0 here, and change nothing."""
    sizes = abs(losses)
    has_begun = old.reference > 0
    ratio = sizes / xp.where(has_begun, old.reference, 1.0)
    is_near = (ratio >= settings.lowest) & (ratio <= min(settings.spike, _HIGHEST))
    new = _kept_out(xp, old, has_begun & ~is_near, settings.patience)
    new = choose(xp, ~has_begun & (sizes > 0), _begun(xp, old, sizes), new)
    near = xp.where(is_near, ratio, 0.0)
    new = choose(xp, has_begun & is_near, _entered(xp, old, sizes, near, settings.least), new)
    return choose(xp, is_finite, new, old)


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


def _begun(xp: Arrays, old: RatioStatistics, sizes: Array) -> RatioStatistics:
    """Measured by these losses; those of 0 are not chosen, since they measure nothing."""
    fresh = no_ratios(lambda: xp.zeros_like(sizes), lambda: xp.zeros_like(old.count))
    return fresh._replace(
        count=fresh.count + 1,
        reference=sizes,
        spikes=old.spikes,
        restarts=old.restarts + xp.cast(old.spikes > 0, xp.int32),
    )


def _entered(
    xp: Arrays, old: RatioStatistics, sizes: Array, ratio: Array, least: float
) -> RatioStatistics:
    """With a ratio near its mean taken in."""
    count = old.count + 1
    share = 1 / xp.cast(count, sizes.dtype)
    share = xp.where(share < least, least, share)
    reference, lost_reference = moved(old.reference, old.lost_reference, sizes, share)
    return old._replace(
        count=count,
        reference=reference,
        lost_reference=lost_reference,
        **moved_moments(old, ratio, share),
        streak=xp.zeros_like(old.streak),
    )
