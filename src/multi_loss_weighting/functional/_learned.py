"""Objectives whose weights are learned, or follow from the losses, as pure functions."""

from __future__ import annotations

from multi_loss_weighting.statistics._array_library import Array, arrays_of
from multi_loss_weighting.weighting.uncertainty_softmax import LEAST


def automatic_weighted_loss(params: Array, losses: Array) -> Array:
    """sum_i 0.5 / p_i^2 L_i + ln(1 + p_i^2), as `AutomaticWeightedLoss`.

    Liebel & Koerner, arXiv:1805.06334, equation 3. Learn `params` with the network, without weight
    decay. A loss that is not finite is not left out here.

    Args:
        params: An array [K] that starts as ones.
        losses: The losses [K].

    Returns:
        The objective, of no dimension.

    >>> import numpy as np
    >>> float(automatic_weighted_loss(np.ones(2), np.array([1.0, 2.0])).round(4))
    2.8863
    """
    xp = arrays_of(params)
    squares = params * params
    return xp.sum(0.5 / squares * losses + xp.log1p(squares))


def uncertainty_weighted_loss(params: Array, losses: Array, *, half: bool = False) -> Array:
    """sum_i exp(-s_i) L_i + s_i, as `UncertaintyWeighting`, or half of it.

    Kendall et al., arXiv:1705.07115, equation 7. Learn `params` with the network, without weight
    decay. The total may go below zero. A loss that is not finite is not left out here.

    Args:
        params: The log variances s, an array [K] that starts as zeros.
        losses: The losses [K].
        half: Whether to take half of it all.

    Returns:
        The objective, of no dimension.

    >>> import numpy as np
    >>> float(uncertainty_weighted_loss(np.zeros(2), np.array([1.0, 2.0])))
    3.0
    """
    xp = arrays_of(params)
    total = xp.sum(xp.exp(-params) * losses + params)
    return 0.5 * total if half else total


def uncertainty_softmax_loss(losses: Array, *, temperature: float = 1.0) -> Array:
    """sum_i omega_i L_i with omega_i = softmax(1 / (T L_i)), as `UncertaintySoftmax`.

    Kirchdorfer et al., arXiv:2408.07985. No gradient goes through the weights. A loss that is not
    finite is not left out here.

    Args:
        losses: The losses [K].
        temperature: T, above 0: the higher, the more alike the weights.

    Returns:
        The objective, of no dimension.

    >>> import numpy as np
    >>> float(uncertainty_softmax_loss(np.array([0.5, 1.0])).round(4))
    0.6345
    """
    xp = arrays_of(losses)
    size = abs(xp.stop_gradient(losses))
    logits = 1 / (temperature * xp.where(size < LEAST, xp.zeros_like(size) + LEAST, size))
    powers = xp.exp(logits - xp.max(logits))
    return xp.sum(powers / xp.sum(powers) * losses)
