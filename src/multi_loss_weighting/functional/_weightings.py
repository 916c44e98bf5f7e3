"""Weights from history as pure functions."""

from __future__ import annotations

from functools import partial
from typing import Literal

from multi_loss_weighting.statistics._array_library import Array, arrays_of
from multi_loss_weighting.statistics._array_ratios import cov_shares
from multi_loss_weighting.statistics._arrays import sizes
from multi_loss_weighting.weighting import CoVWeighting, NormalizedWeighting

from ._pure import PureWeighting, State, pure_weighting


def cov_weighting(
    *,
    decay: float | None = None,
    sum_to: Literal[1, "K"] = 1,
    warmup: int = 2,
    spike: float = 100.0,
    patience: int = 10,
) -> PureWeighting:
    """`CoVWeighting` as pure functions: the same arguments, the same guards, the same weights.

    Groenendijk et al., arXiv:2009.01717, equations 3 to 6.

    Args:
        decay: None for statistics over all steps; between 0 and 1 for ones that forget.
        sum_to: What the weights sum to, 1 as in the paper or "K", the number of losses.
        warmup: Values that a ratio needs before it weighs.
        spike: A loss above `spike` times its running mean is kept out of the ratios.
        patience: After so many in a row the loss has moved, and its ratios start again.

    Raises:
        ValueError: If an option is outside the range that makes sense.

    >>> import numpy as np
    >>> cov = cov_weighting()
    >>> state = cov.init(np.zeros(2))
    >>> for step in range(20):
    ...     losses = np.array([1 + 0.1 * (step % 2), 1.0 + (step % 2)])
    ...     state, weights = cov.update(state, losses)
    >>> weights.round(2), state.losses.mean
    (array([0.12, 0.88]), array([1.05, 1.5 ]))
    """
    checked = CoVWeighting(
        decay=decay, sum_to=sum_to, warmup=warmup, spike=spike, patience=patience
    )
    weights = partial(_cov_weights, warmup=warmup, sums_to_count=sum_to == "K")
    return pure_weighting(weights, checked.ratio_settings)


def equal_weighting() -> PureWeighting:
    """1/K for each of K losses, with the statistics of them all.

    >>> import numpy as np
    >>> equal = equal_weighting()
    >>> equal.weights(equal.init(np.zeros(4)))
    array([0.25, 0.25, 0.25, 0.25])
    """
    return pure_weighting(
        lambda state: state.ratios.reference * 0 + 1 / state.ratios.reference.shape[0]
    )


def normalized_weighting(*, by: Literal["mean", "first"] = "mean") -> PureWeighting:
    """1 / m_i, as `NormalizedWeighting()` of the plain sum: every loss over its size.

    Before the first step sizes are not known, so it weighs 1/K.

    Args:
        by: "mean" for the running mean of each loss, "first" for its first value.

    Raises:
        ValueError: If `by` is neither.

    >>> import numpy as np
    >>> normalized = normalized_weighting()
    >>> state, _ = normalized.update(normalized.init(np.zeros(2)), np.array([0.5, 2000.0]))
    >>> normalized.weights(state)
    array([2.e+00, 5.e-04])
    """
    checked = NormalizedWeighting(by=by)
    return pure_weighting(partial(_one_over_sizes, by=checked.by))


def static_weighting(weights: Array) -> PureWeighting:
    """Weights that you chose, with the statistics of the losses.

    Args:
        weights: An array [K], in the order of the losses.

    >>> import numpy as np
    >>> static = static_weighting(np.array([1.0, 0.1]))
    >>> static.weights(static.init(np.zeros(2)))
    array([1. , 0.1])
    """
    xp = arrays_of(weights)
    return pure_weighting(lambda state: xp.cast(weights, state.losses.mean.dtype))


def _cov_weights(state: State, *, warmup: int, sums_to_count: bool) -> Array:
    shares = cov_shares(state.ratios, warmup)
    return shares * shares.shape[0] if sums_to_count else shares


def _one_over_sizes(state: State, *, by: Literal["mean", "first"]) -> Array:
    losses = state.losses
    start = losses.mean if by == "mean" else losses.first
    # Of a loss that never came there is nothing but K.
    count = losses.mean.shape[0]
    unknown = losses.mean * 0 + count
    xp = arrays_of(losses.mean)
    own = sizes(start, losses.mean, losses.variance, xp.zeros_like(losses.mean))
    return 1 / xp.where(losses.count > 0, own, unknown)
