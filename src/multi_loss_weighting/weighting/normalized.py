"""Bring the losses to one size, then weigh them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from loss_loggers.arguments import checked
from multi_loss_weighting.statistics._array_library import arrays_of
from multi_loss_weighting.statistics._arrays import sizes
from multi_loss_weighting.statistics._history import History, shown

from ._base import Weighted, Weighting, settings_of
from ._per_loss import alike, vector
from .plain_sum import weighting_or_sum

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._array_library import Array

_POWERS = {
    **dict.fromkeys(("first", "value", "mean", "std", "minimum", "maximum"), 1),
    **dict.fromkeys(("exponential_mean", "block_mean", "epoch_mean"), 1),
    "variance": 2,
}
"""How each statistic goes with the size of its loss."""

_HANDED_ON = frozenset(("num_losses", "ratio_settings", "expect", "to_average", "averaged"))
"""What is of the inner weighting whatever the sizes, where it has it."""


class NormalizedWeighting(nn.Module):
    """Each loss over its own size, then any weighting: inner(L_1 / m_1, ..., L_K / m_K).

    m_i is the magnitude of the running mean of L_i up to the step before, or of its first value.
    So losses in different units weigh alike, for the price of a division. By the mean, a loss that
    falls counts less and less; by the first value, more so.

    A weight of the row is what the raw loss is multiplied by. The inner weighting sees losses and
    statistics over their sizes. A loss that comes for the first time is its own size, for all calls
    of that step (LBFGS, micro-batches); around a learned weighting in compiled code, for each call
    by itself. No loss is divided by less than a hundredth of its root mean square so far, so that
    neither a first value near 0 nor a mean near 0 makes it huge.

    By the first value it is the L_i(t) / L_i(0) by which GradNorm (arXiv:1711.02257) compares
    losses.

    Args:
        inner: How to weigh what comes out; None for the plain sum.
        by: "mean" or "first".

    Raises:
        ValueError: If `by` is neither.
        TypeError: If `inner` is no weighting.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["meters", "grams"], weighting=NormalizedWeighting())
    >>> for step in range(3):
    ...     losses = {"meters": 0.5, "grams": 2000.0}
    ...     total = group.update(losses, do_backwards=False)
    >>> group.weights, total.item()
    ({'meters': 2.0, 'grams': 0.0005}, 2.0)
    """

    def __init__(
        self, inner: Weighting | None = None, *, by: Literal["mean", "first"] = "mean"
    ) -> None:
        super().__init__()
        self.by = checked(by, ("mean", "first").__contains__, "by", '"mean" or "first"')
        self.inner = weighting_or_sum(inner)
        self._sizes: Array | None = None  # those of the step under way
        self._first: tuple[tuple[str, ...], Array] = (), None  # its losses, as they first came

    def __getattr__(self, name: str) -> Any:
        if name in _HANDED_ON:
            return getattr(self.inner, name)
        return super().__getattr__(name)

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective of the inner weighting for the losses over their sizes."""
        now, is_eager = vector(losses, history), not torch.compiler.is_compiling()
        if is_eager:
            now = self._first_of(now, history)
        own = self._sizes_of(now, history)
        seen = losses / torch.as_tensor(own, dtype=losses.dtype, device=losses.device)
        scaled = ScaledHistory(history, own)
        result = self.inner.weigh(seen, scaled)
        if is_eager and history.will_be_recorded:
            self._sizes, self._first = own, (history.names, now)
        history.terms = scaled.terms
        return Weighted(result.total, alike(own, result.weights) / own)

    def _first_of(self, now: Array, history: History) -> Array:
        """The losses, as they were in the first call of this step that had them."""
        names, first = self._first
        if type(first) is not type(now):
            return now
        if names != history.names:
            pad = functional.pad if isinstance(first, Tensor) else np.pad
            places = [names.index(it) if it in names else len(names) for it in history.names]
            first = pad(first, (0, 1))[places]
        first = alike(now, first)
        return arrays_of(now).where((first != 0) & (abs(first) < math.inf), first, now)

    def _sizes_of(self, now: Array, history: History) -> Array:
        mean, variance = history.mean, history.variance
        start = mean if self.by == "mean" else history.first
        if not history.is_on_device:
            with np.errstate(all="ignore"):
                return sizes(start, mean, variance, now)
        start, mean, variance = (alike(now, one) for one in (start, mean, variance))
        return sizes(start, mean, variance, now)

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:
        """Tell the inner weighting, in its own sizes, that a step is over."""
        hook, own = getattr(self.inner, "recorded", None), self._sizes
        self._end_step()
        if hook is None:
            return
        if own is None or own.shape != losses.shape:
            own = self._sizes_of(vector(losses, history), history)
        by = torch.as_tensor(own, device=losses.device)
        hook(losses / by.to(losses), weights * by.to(weights), ScaledHistory(history, own))

    def given_up(self) -> None:
        """The step will not be recorded, so that the next one begins anew."""
        self._end_step()
        getattr(self.inner, "given_up", int)()

    def forget(self) -> None:
        """Be as new, since the group forgets its losses."""
        self._end_step()
        getattr(self.inner, "forget", int)()

    def _end_step(self) -> None:
        self._sizes, self._first = None, ((), None)

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        return {"by": self.by, "inner": settings_of(self.inner)}


def innermost(weighting: Any) -> Any:
    """The weighting itself, or the one inside of what normalizes its losses."""
    while isinstance(weighting, NormalizedWeighting):
        weighting = weighting.inner
    return weighting


class ScaledHistory(History):
    """A history whose losses were divided by `sizes` [K] from the start.

    Ratios, counts and coefficients of variation are the same for any size.
    """

    def __init__(self, history: History, sizes: Array) -> None:
        super().__init__(history.names, history.records)
        self.present = history.present
        self.are_given, self.is_on_device = history.are_given, history.is_on_device
        self.will_be_recorded = history.will_be_recorded
        self._history, self._sizes = history, sizes

    @property
    def step(self) -> Any:
        """The step that is being weighed."""
        return self._history.step

    @step.setter
    def step(self, step: int) -> None:
        """It is that of the other history."""

    def gather(self, name: str) -> Any:
        """One number of each loss."""
        numbers = shown(self._history, name)
        if name not in _POWERS:
            return numbers
        return numbers / alike(numbers, self._sizes) ** _POWERS[name]

    def ratios(self) -> Any:
        """The loss ratios as they are kept on an accelerator."""
        return self._history.ratios()
