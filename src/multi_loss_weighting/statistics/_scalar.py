"""The rules of arithmetic for plain floats; `_arrays` has them for arrays.

CoV-Weighting (Groenendijk et al., arXiv:2009.01717) weighs a loss by the coefficient of variation
of its ratio

    l_t = L_t / mu_{t-1},    l_1 = 1,    c = sigma_l / mu_l,

where mu is the running mean of the loss. Every loss counts by its magnitude: for a positive loss
this is the paper, a negative one weighs as its mirror image, and one that changes its sign, whose
mean may pass through 0, weighs by how much its size varies.
"""

from __future__ import annotations

from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING

from ._record import BLANK, EPOCH, EPSILON, LAST_WEIGHT, RARE, RATIO_COUNT, UPDATES, VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._record import Numbers, Rare
    from ._settings import Rules

HUGE = 1e150
"""Differences below it have finite squares."""


def add(
    old: Numbers, value: float, samples: float, step: int, weight: float, rules: Rules
) -> Numbers:
    """The numbers with one value taken in; `old` stays as it is.

    Mean and squares are Welford's. One that is not finite is counted, and enters no statistic.

    Args:
        old: The fields of the `LossRecord` so far.
        value: The loss.
        samples: How many samples it is the mean of, above 0.
        step: Remembered if the value is not finite.
        weight: What the loss was multiplied with.
        rules: How statistics are kept.

    >>> from multi_loss_weighting.statistics._record import LossRecord
    >>> from multi_loss_weighting.statistics._settings import StatisticsSettings
    >>> rules = StatisticsSettings().rules(block_size=None)
    >>> numbers = add(add(LossRecord(), 2.0, 1, 0, 1.0, rules), 4.0, 1, 1, 1.0, rules)
    >>> record = LossRecord._make(numbers)
    >>> record.mean, record.std, record.ratio
    (3.0, 1.0, 2.0)
    """
    (
        count,
        before,
        mean,
        squares,
        lowest,
        highest,
        updates,
        _,
        ratio,
        reference,
        ratio_count,
        ratio_mean,
        ratio_variance,
        epoch_mean,
        epoch_before,
        _,
        rare,
        kept,
    ) = old
    least, near_from, near_to, patience, _, _, has_windows = rules
    kept[updates % len(kept)] = value  # a place that `recent` does not show before the next update
    updates += 1
    if has_windows:
        rare = _add_to_windows(rare, value, samples, step, rules)
    delta = value - mean
    epoch_delta = value - epoch_mean
    if -HUGE < delta < HUGE:
        total = before + samples
        change = (delta if samples == 1 else delta * samples) / total
        mean += change
        # Not delta * (value - mean): rounding could make that negative.
        squares += before * delta * change
    elif isfinite(value):  # so far from the mean that differences may overflow
        total = before + samples
        share = samples / total
        mean = _moved(mean, value, share)
        squares += before * delta * (delta * share)
    else:
        rare = _count_nonfinite(rare, step)
        return (*old[:UPDATES], updates, value, *old[VALUE + 1 : LAST_WEIGHT], weight, rare, kept)
    epoch_samples = epoch_before + samples
    if -HUGE < epoch_delta < HUGE:
        epoch_mean += (epoch_delta if samples == 1 else epoch_delta * samples) / epoch_samples
    else:
        epoch_mean = _moved(epoch_mean, value, samples / epoch_samples)
    if not count:
        rare = rare._replace(first=value)
    if value < lowest:
        lowest = value
    if value > highest:
        highest = value

    size = abs(value)
    if reference:
        ratio = size / reference
        if near_from <= ratio <= near_to:
            ratio_count += 1
            share = 1 / ratio_count
            if share < least:
                share = least
            reference += share * (size - reference)
            delta = ratio - ratio_mean
            change = share * delta
            ratio_mean += change
            ratio_variance = (1 - share) * (ratio_variance + change * delta)
            if rare.streak:
                rare = rare._replace(streak=0)
        else:
            streak = rare.streak + 1
            rare = rare._replace(streak=streak, spikes=rare.spikes + 1)
            if streak >= patience:  # the new level, by which the next one begins
                ratio_count, reference = 0, 0.0
    elif size:  # by 0 nothing can be measured
        rare = rare._replace(streak=0, restarts=rare.restarts + (rare.spikes > 0))
        ratio, reference, ratio_count, ratio_mean, ratio_variance = 1.0, size, 1, 1.0, 0.0
    return (
        count + 1,
        total,
        mean,
        squares,
        lowest,
        highest,
        updates,
        value,
        ratio,
        reference,
        ratio_count,
        ratio_mean,
        ratio_variance,
        epoch_mean,
        epoch_samples,
        weight,
        rare,
        kept,
    )


def add_mean(
    old: Numbers,
    value: float,
    samples: float,
    nonfinite: float,
    step: int,
    weight: float,
    rules: Rules,
) -> Numbers:
    """The numbers with a mean over micro-batches or ranks taken in; nan of nothing finite.

    `nonfinite` is how many were left out of it.
    """
    new = add(old, value, samples, step, weight, rules)
    if nonfinite and value == value:
        return (*new[:RARE], _count_nonfinite(new[RARE], step), *new[RARE + 1 :])
    return new


def clamp(loss: float, limit: float) -> float:
    """The loss, or its limit where it is above: infinity stays what it is."""
    return limit if limit < loss < inf else loss


def begin_epoch(old: Numbers) -> Numbers:
    """The numbers at the beginning of an epoch."""
    return (*old[:EPOCH], 0.0, 0.0, *old[LAST_WEIGHT:])


def cov_shares(records: Sequence[Numbers], warmup: int) -> list[float]:
    """The weights of CoV-Weighting, which sum to 1: c over the sum of all c.

    A loss whose ratio has seen fewer than `warmup` values gets 1/K; the others share the rest.
    """
    total, young, shares = 0.0, 0, []
    for record in records:
        if record[RATIO_COUNT] < warmup:
            young += 1
            shares.append(-1.0)
        else:
            mean, variance = record[RATIO_COUNT + 1 : RATIO_COUNT + 3]
            spread = sqrt(variance + EPSILON) / mean
            total += spread
            shares.append(spread)
    count = len(shares)
    if not young:
        return [share / total for share in shares]
    rest = 1 - young / count
    return [1 / count if share < 0 else rest * share / total for share in shares]


def _moved(mean: float, value: float, share: float) -> float:
    """The mean, moved by a share of the way to a value from which it is very far."""
    half = (value / 2 - mean / 2) * share  # of the way: all of it may overflow
    return mean + half + half


def _count_nonfinite(rare: Rare, step: int) -> Rare:
    first = rare.first_nonfinite_step if rare.nonfinite else step
    return rare._replace(
        nonfinite=rare.nonfinite + 1, first_nonfinite_step=first, last_nonfinite_step=step
    )


def _add_to_windows(rare: Rare, value: float, samples: float, step: int, rules: Rules) -> Rare:
    """Blocks of updates, and a mean that forgets.

    Until 1 / (1 - decay) values came that is their plain mean, so that the first one, which it
    would otherwise remember for long, has no more say than the others.
    """
    if rules.exponential_share and isfinite(value):
        seen = rare.exponential_count + 1
        share = max(1 / seen, rules.exponential_share)
        mean = rare.exponential_mean if seen > 1 else 0.0
        rare = rare._replace(
            exponential_count=seen, exponential_mean=(1 - share) * mean + share * value
        )
    if rare.block is None:
        return rare
    block = add(rare.block, value, samples, step, 1.0, rules._replace(has_windows=False))
    position = rare.block_position + 1
    # Not ==, for a state may come from longer blocks.
    if position < rules.block_size:
        return rare._replace(block=block, block_position=position)
    return rare._replace(
        block=BLANK,
        last_block=block,
        block_position=0,
        blocks_completed=rare.blocks_completed + 1,
    )
