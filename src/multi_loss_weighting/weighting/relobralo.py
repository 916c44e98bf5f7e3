"""ReLoBRaLo: the loss that falls least, against before and against the start, weighs most."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from loss_loggers.arguments import checked
from multi_loss_weighting.statistics._array_library import Array, arrays_of

from ._base import Weighted, weighted_sum
from ._per_loss import ByPastLosses, Numbers, softmax_shares

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

_MOST = 1e30
"""A ratio above it says no more."""


class ReLoBRaLo(ByPastLosses):
    r"""lambda_i(t) = alpha (rho lambda_i(t-1) + (1 - rho) b_i(t, 0)) + (1 - alpha) b_i(t, t-1).

    b_i(t, s) = K exp(L_i(t) / (T L_i(s))) / sum_j exp(L_j(t) / (T L_j(s))) is large for a loss that
    fell less than the others since step s. rho is 1 or, now and then, 0: then the weights forget
    what they were and go by the start ("random lookback"). The weights sum to K.

    As in the authors' code the weights are 1 at first and b(1, 0) next. The weights of a step come
    from the losses up to the step before, so that all ranks and all calls in a step weigh alike;
    the authors take the losses of the step itself. Losses count by their magnitude. One that is
    missing or not finite keeps its weight, and one that comes late begins at 1.

    Bischof & Kraus, "Multi-Objective Loss Balancing for Physics-Informed Deep Learning",
    arXiv:2110.09813, section 3.

    Args:
        alpha: How much of the weights stays from step to step, 0 to 1.
        temperature: T, above 0: the smaller, the nearer to all for one loss.
        rho: How probable it is that a step does not look back to the start, 0 to 1.
        seed: For the lookbacks. They are the same in a resumed run; ranks need the same seed.

    Raises:
        ValueError: If an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["falls", "stays"], weighting=ReLoBRaLo(temperature=1.0))
    >>> for step in range(3):
    ...     total = group.update({"falls": 0.5**step, "stays": 1.0}, do_backwards=False)
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()})
    {'falls': 0.755, 'stays': 1.245}
    """

    _settings = ("alpha", "temperature", "rho", "seed")

    def __init__(
        self,
        *,
        alpha: float = 0.999,
        temperature: float = 0.1,
        rho: float = 0.999,
        seed: int = 0,
    ) -> None:
        self.alpha: float = checked(alpha, lambda it: 0 <= it <= 1, "alpha", "0 to 1")
        is_right = lambda it: 0 < it < float("inf")  # noqa: E731
        self.temperature: float = checked(temperature, is_right, "temperature", "above 0")
        self.rho: float = checked(rho, lambda it: 0 <= it <= 1, "rho", "0 to 1")
        self.seed = seed
        nan = float("nan")
        super().__init__(first=nan, last=nan, weight=1.0, count=0.0)

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times the weights after the step before."""
        return weighted_sum(losses, 1.0 * self._numbers(losses, history)["weight"])

    def _taken_in(self, old: Numbers, now: Array, came: Array, history: History) -> Numbers:
        where = arrays_of(now).where
        now, is_first, is_second = abs(now), old["count"] == 0, old["count"] == 1
        by_last = self._balanced(now, old["last"], came & ~is_first)
        kept = old["weight"]
        if _drawn(self.seed, history.step) >= self.rho:
            kept = where(is_second, kept, self._balanced(now, old["first"], came & ~is_first))
        alpha = where(is_second, 0.0, 0 * old["count"] + self.alpha)
        new = where(is_first, old["weight"], alpha * kept + (1 - alpha) * by_last)
        return {
            "first": where(came & is_first, now, old["first"]),
            "last": where(came, now, old["last"]),
            "weight": where(came, new, old["weight"]),
            "count": old["count"] + came,
        }

    def _balanced(self, now: Array, then: Array, known: Array) -> Array:
        where = arrays_of(now).where
        ratio = now / where(then > 0, then, 1 / _MOST)
        ratio = where(ratio < _MOST, ratio, _MOST)
        return len(now) * softmax_shares(ratio / self.temperature, known)


def _drawn(seed: int, step: int) -> float:
    """A number from 0 to below 1, the same for a step of a run whenever it is asked for."""
    digest = blake2b(f"{seed} {step}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "little") / 2**48
