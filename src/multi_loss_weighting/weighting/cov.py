"""CoV-Weighting: the loss that varies most, relative to its mean, weighs most."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from loss_loggers.arguments import checked
from multi_loss_weighting.statistics._scalar import cov_shares
from multi_loss_weighting.statistics._settings import RatioSettings

from ._base import Weighted, checked_sum, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History


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
        checked(warmup, lambda count: count >= 2, "warmup", "2 or more values of a ratio")
        self.sum_to = checked_sum(sum_to)
        self.warmup = warmup
        self.ratio_settings = RatioSettings(decay=decay, spike=spike, patience=patience)

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their normalised coefficients of variation."""
        weights: Any
        if history.is_on_device:
            weights = history.ratios().cov_shares(self.warmup)
            return weighted_sum(losses, weights * len(losses) if self.sum_to == "K" else weights)
        weights = cov_shares(history.records, self.warmup)
        if self.sum_to == "K":
            weights = [len(weights) * weight for weight in weights]
        return weighted_sum(losses, weights)

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        own = {"sum_to": self.sum_to, "warmup": self.warmup}
        return asdict(self.ratio_settings) | own
