"""CoV-Weighting: the loss that varies most, relative to its mean, weighs most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multi_loss_weighting.statistics._ratio import RatioSettings

from ._base import Weighted, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History, Vector


class CoVWeighting:
    """alpha_i = c_i / sum_j c_j with c_i = sigma_{l_i} / mu_{l_i}.

    sigma and mu are those of the loss ratio l_t = L_t / mu_{t-1}, up to the step before. A loss
    whose ratio has seen fewer than `warmup` values weighs 1/K, and the others share the rest.
    Against a plain sum, weights that sum to 1 make the gradient K times smaller; `sum_to="K"`
    keeps its size.

    Every loss counts by its magnitude: a positive one as in the paper, a negative one as its
    mirror image, and one that changes its sign by how much its size varies.

    Groenendijk et al., "Multi-Loss Weighting with Coefficient of Variations",
    arXiv:2009.01717, equations 3 to 6.

    Args:
        decay: None for statistics over all steps; a number between 0 and 1, e.g. 0.99, for
            exponentially weighted ones that forget.
        sum_to: What the weights sum to, 1 as in the paper or "K", the number of losses.
        warmup: Values that a ratio needs before it weighs; the first ratio is 1 by definition,
            so 2 is the least.
        spike: A loss above `spike` times its running mean is kept out of the statistics; with
            `decay` also one below 1 / `spike` of it.
        patience: After so many in a row the statistics of that loss start again.

    Raises:
        ValueError: If an option is outside the range that makes sense.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["calm", "wild"], weighting=CoVWeighting())
    >>> for step in range(20):
    ...     losses = {"calm": 1 + 0.1 * (step % 2), "wild": 1 + (step % 2)}
    ...     total = group.update(losses, do_backwards=False)
    >>> group.weights["calm"] < 0.2 < 0.8 < group.weights["wild"]
    True
    """

    def __init__(
        self,
        *,
        decay: float | None = None,
        sum_to: Literal[1, "K"] = 1,
        warmup: int = 2,
        spike: float = 100.0,
        patience: int = 10,
    ) -> None:
        if sum_to not in (1, "K"):
            msg = f'sum_to is 1 or "K"; got {sum_to!r}'
            raise ValueError(msg)
        if warmup < 2:
            msg = f"warmup counts the values of a ratio, so it is 2 or more; got {warmup}"
            raise ValueError(msg)
        self.sum_to = sum_to
        self.warmup = warmup
        self.ratio_settings = RatioSettings(decay=decay, spike=spike, patience=patience)

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their normalised coefficients of variation."""
        weights = self._weights(history)
        return weighted_sum(losses, weights * len(weights) if self.sum_to == "K" else weights)

    def _weights(self, history: History) -> Any:
        cov = history.ratio_cov
        if not isinstance(cov, np.ndarray):
            return _shares_on_device(cov, history.ratio_count < self.warmup)
        if history.youngest_ratio >= self.warmup:
            return _shares(cov)
        return _shares_beside_young(cov, history.ratio_count < self.warmup)

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        settings = self.ratio_settings
        return {
            "decay": settings.decay,
            "sum_to": self.sum_to,
            "warmup": self.warmup,
            "spike": settings.spike,
            "patience": settings.patience,
        }


def _shares(cov: Vector) -> Vector:
    # The first use of numpy's arithmetic after a network had the caches costs tens of microseconds.
    # Fewer than 8 numbers it adds one after the other, too: this is the same to the last bit.
    if len(cov) >= 8:
        shares: Vector = cov / cov.sum()
        return shares
    numbers, total = cov.tolist(), 0.0
    for number in numbers:
        total += number
    return np.array([number / total for number in numbers])


def _shares_beside_young(cov: Vector, is_young: Vector) -> Vector:
    count = len(cov)
    settled = np.where(is_young, 0.0, cov)
    rest = 1 - is_young.sum() / count
    return np.where(is_young, 1 / count, rest * settled / (settled.sum() or 1.0))


def _shares_on_device(cov: Tensor, is_young: Tensor) -> Tensor:
    """The same without a look at any value; where all are young, what is divided by 0 is masked."""
    count = len(cov)
    settled = cov.masked_fill(is_young, 0.0)
    shares = settled / settled.sum()
    shares.addcmul_(shares, is_young.sum(dtype=cov.dtype), value=-1 / count)
    return shares.masked_fill_(is_young, 1 / count)
