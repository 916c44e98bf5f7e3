"""The losses of one step, read once and put in the order of their group."""

from __future__ import annotations

import math
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from multi_loss_weighting.statistics._scalar import clamp

from ._nonfinite import left_out
from ._value import WIDE, check_loss, is_transformed, number, read, widened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CPU = torch.device("cpu")
_EXACT = 2.0**24  # float32 has each whole number below it
_ROUNDING = 1e-6  # more than two sums over ranks may differ by, in float32 too
_FLOATING = WIDE | {torch.float16, torch.bfloat16}
_dtype_of = attrgetter("dtype")
_NOTHING = torch.empty(0, device="cpu")


class Batch(NamedTuple):
    """K losses of one step.

    Attributes:
        losses: What to weigh, a tensor [K] with the gradient, in float32 or wider: each loss
            clamped to its limit, and 0 for one that takes no part.
        values: The raw losses; nan for one that was not given.
        given: Whether each loss was given; None where all were.
        present: Whether each takes part, a bool tensor [K]; None where all do.
        clamped: Where the losses are that were clamped.
        is_plain: Whether all were given, finite and within their limits.
        raw: On an accelerator, the raw losses there, a tensor [K], and no `values`.
    """

    losses: Tensor
    values: list[float]
    given: list[bool] | None = None
    present: Tensor | None = None
    clamped: Sequence[int] = ()
    is_plain: bool = False
    raw: Tensor | None = None


class BatchReader:
    """Reads the losses of each step, in the order of `names`, whose limits are their `max_loss`."""

    def __init__(self, names: tuple[str, ...], limits: Sequence[float]) -> None:
        self.names = names
        self.limits = limits
        self._known = frozenset(names)
        self._pick = itemgetter(*names) if len(names) > 1 else None
        self._finite_limits = [(i, limit) for i, limit in enumerate(limits) if limit < math.inf]

    def read_plain(self, losses: Mapping[str, Any]) -> Batch | None:
        """The usual case, fast; None where it is not.

        All are given, 0-d tensors on the CPU, finite and within their limits.
        """
        if len(losses) != len(self.names):
            return None
        try:
            parts = (losses[self.names[0]],) if self._pick is None else self._pick(losses)
            stacked = torch.stack(parts)
            if type(stacked) is not Tensor or not stacked.is_cpu or stacked.ndim != 1:
                return None
            if is_transformed(stacked):
                return None
            values = stacked.tolist()
            size = math.hypot(*values)  # as large as the largest
            is_wide = stacked.dtype in WIDE
            if not (is_wide and size < _EXACT):
                # Torch rounds whole numbers to the floats beside them.
                if not (math.isfinite(size) and _FLOATING.issuperset(map(_dtype_of, parts))):
                    return None
                stacked = stacked if is_wide else stacked.float()
        except (KeyError, IndexError, TypeError, RuntimeError):
            return None
        for index, limit in self._finite_limits:
            if values[index] > limit:
                return None
        return Batch(stacked, values, None, None, (), True)

    def read_carefully(self, losses: Mapping[str, Any], keeps_nonfinite: bool) -> Batch:
        """Read the losses of one step, whatever they are.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.
        """
        self.check(losses, _CPU)
        given = [name in losses for name in self.names]
        values = [read(losses[name], name) if name in losses else math.nan for name in self.names]
        present = [
            is_given and (keeps_nonfinite or math.isfinite(value))
            for is_given, value in zip(given, values, strict=True)
        ]
        bad = [losses.get(name) for name, it in zip(self.names, present, strict=True) if not it]
        zero, each = left_out(bad), zip(self.names, values, self.limits, present, strict=True)
        stacked = _stack(
            [_part(losses[name], value, limit) if it else zero for name, value, limit, it in each]
        )
        return Batch(
            stacked,
            values,
            None if all(given) else given,
            None if all(present) else torch.tensor(present, device=_CPU),
            self.clamped(values),
        )

    def read_means(
        self, means: list[float], given: list[bool], used: Sequence[float] | None = None
    ) -> Batch:
        """Means over micro-batches or ranks as the losses of one step; nan of nothing finite.

        `used` is what the limits left of them, each of which acts on a loss before the mean.
        """
        clamped = self.clamped(means, used)
        losses = [*map(clamp, means, self.limits)] if used is None else used
        present = [math.isfinite(mean) for mean in means]
        weighed = [mean if it else 0.0 for mean, it in zip(losses, present, strict=True)]
        return Batch(
            torch.tensor(weighed, dtype=torch.float64, device=_CPU),
            means,
            None if all(given) else given,
            None if all(present) else torch.tensor(present, device=_CPU),
            clamped,
            all(given) and all(present) and not clamped,
        )

    def read_nothing(self) -> Batch:
        """A step with none of the losses: a rank that has none, or a batch of no sample."""
        count = len(self.names)
        return self.read_means([math.nan] * count, [False] * count)

    def known(
        self,
        values: list[float],
        given: list[bool] | None,
        used: Sequence[float] | None = None,
    ) -> Batch:
        """What was read back of a step that was weighed before."""
        clamped = self.clamped(values, used)
        is_plain = given is None and not clamped and math.isfinite(sum(values))
        return Batch(_NOTHING, values, given, None, clamped, is_plain)

    def clamped(self, values: list[float], used: Sequence[float] | None = None) -> list[int]:
        """Where losses are above their limits, or means lost more than ranks round."""
        if used is None:
            return [i for i, limit in self._finite_limits if clamp(values[i], limit) < values[i]]
        return [i for i, _ in self._finite_limits if values[i] - used[i] > _ROUNDING * abs(used[i])]

    def check(self, losses: Mapping[str, Any], device: torch.device) -> None:
        """Raise if these cannot be losses of one step on this device. No tensor is read."""
        self.check_names(losses)
        for name, loss in losses.items():
            if isinstance(loss, Tensor):
                check_loss(loss, name, device)
            else:
                read(loss, name)

    def check_names(self, losses: Mapping[str, Any]) -> None:
        """Raise a ValueError if a loss is unknown, or none was given."""
        names = ", ".join(self.names)
        unknown = [name for name in losses if name not in self._known]
        if unknown:
            msg = (
                f"losses must be among {names}, got {', '.join(map(str, unknown))} as well:"
                " name it in `names`, or in `ignore` to pass over it"
            )
            raise ValueError(msg)
        if not losses:
            msg = f"losses must be one or more{names and f' of {names}'}, got none"
            raise ValueError(msg)


def _part(loss: Any, value: float, limit: float) -> Any:
    """What goes into the objective of one loss."""
    if isinstance(loss, Tensor):
        loss = widened(loss.as_subclass(Tensor)) if loss.is_floating_point() else value
    return loss * (limit / value) if limit < value < math.inf else loss


def _stack(parts: list[Any]) -> Tensor:
    """0-d tensors of one floating dtype; plain numbers are float64 by themselves."""
    dtypes = {part.dtype for part in parts if isinstance(part, Tensor)}
    dtype = torch.float32 if dtypes == {torch.float32} else torch.float64
    return torch.stack(
        [
            part.reshape(()).to(dtype)
            if isinstance(part, Tensor)
            else torch.tensor(number(part), dtype=dtype, device=_CPU)
            for part in parts
        ]
    )
