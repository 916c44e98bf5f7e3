"""The losses of one step, read once and put in the order of their group."""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ._nonfinite import left_out
from ._value import number, read

if TYPE_CHECKING:
    from collections.abc import Mapping


_WEIGHED = torch.empty(0)


class Batch(NamedTuple):
    """K losses of one step.

    Attributes:
        losses: What to weigh, a tensor [K] with the gradient: each loss clamped to its limit, and
            0 for one that takes no part.
        values: The raw losses; nan for one that was not given.
        given: Whether each loss was given; None where all were.
        present: Whether each takes part, a bool tensor [K]; None where all do.
        clamped: The names of the losses that were clamped.
        is_plain: Whether all were given, finite and within their limits.
        raw: On an accelerator, the raw losses there, a tensor [K], and no `values`.
    """

    losses: Tensor
    values: list[float]
    given: list[bool] | None = None
    present: Tensor | None = None
    clamped: tuple[str, ...] = ()
    is_plain: bool = False
    raw: Tensor | None = None


class BatchReader:
    """Reads the losses of each step, in the order of `limits`, which has the `max_loss` of each."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self.limits = limits
        self._names = tuple(limits)
        self._finite_limits = [
            (index, limit) for index, limit in enumerate(limits.values()) if limit < math.inf
        ]

    def read_plain(self, losses: Mapping[str, Any]) -> Batch | None:
        """The usual case, fast; None where it is not.

        All are given, 0-d tensors on the CPU, finite and within their limits.
        """
        if len(losses) != len(self._names):
            return None
        try:
            stacked = torch.stack([losses[name] for name in self._names])
            if not stacked.is_cpu:
                return None
            values = stacked.tolist()
            is_plain = stacked.is_floating_point() and math.isfinite(sum(values))
        except (KeyError, TypeError, RuntimeError):
            return None
        for index, limit in self._finite_limits:
            is_plain &= values[index] <= limit
        if not is_plain:
            return None
        return Batch(stacked, values, is_plain=True)

    def read_carefully(self, losses: Mapping[str, Any], keeps_nonfinite: bool) -> Batch:
        """Read the losses of one step, whatever they are.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.
        """
        self.check_names(losses)
        given = [name in losses for name in self._names]
        values = [read(losses[name], name) if name in losses else math.nan for name in self._names]
        stacked = _stack(
            [
                _part(losses.get(name, 0.0), value, self.limits[name], keeps_nonfinite)
                for name, value in zip(self._names, values, strict=True)
            ]
        )
        present = [
            is_given and (keeps_nonfinite or math.isfinite(value))
            for is_given, value in zip(given, values, strict=True)
        ]
        return Batch(
            stacked,
            values,
            None if all(given) else given,
            None if all(present) else torch.tensor(present, device=stacked.device),
            self.clamped(values),
        )

    def read_means(self, means: list[float], given: list[bool]) -> Batch:
        """Means over micro-batches or ranks as the losses of one step."""
        if all(given) and math.isfinite(sum(means)) and not self.clamped(means):
            return Batch(torch.tensor(means, dtype=torch.float64), means, is_plain=True)
        losses = compress(zip(self._names, means, strict=True), given)
        return self.read_carefully(dict(losses), keeps_nonfinite=False)

    def read_nothing(self) -> Batch:
        """The step of a rank that has none of the losses."""
        count = len(self._names)
        present = torch.zeros(count, dtype=torch.bool)
        return Batch(torch.zeros(count), [math.nan] * count, [False] * count, present)

    def known(self, values: list[float], given: list[bool] | None) -> Batch:
        """What was read back of a step that was weighed before."""
        clamped = self.clamped(values)
        is_plain = given is None and not clamped and math.isfinite(sum(values))
        return Batch(_WEIGHED, values, given, None, clamped, is_plain)

    def clamped(self, values: list[float]) -> tuple[str, ...]:
        """The names of the losses above their limits."""
        return tuple(
            name
            for (name, limit), value in zip(self.limits.items(), values, strict=True)
            if limit < value < math.inf
        )

    def check_names(self, losses: Mapping[str, Any]) -> None:
        """Raise a ValueError if a loss is unknown, or none was given."""
        names = ", ".join(self._names)
        unknown = [name for name in losses if name not in self.limits]
        if unknown:
            msg = (
                f"the losses of this group are {names}; got {', '.join(map(str, unknown))} as well:"
                " name it in `names`, or in `ignore` to pass over it"
            )
            raise ValueError(msg)
        if not losses:
            msg = f"a step has one or more of the losses {names}; got none"
            raise ValueError(msg)


def _part(loss: Any, value: float, limit: float, keeps_nonfinite: bool) -> Any:
    """What goes into the objective of one loss."""
    if not math.isfinite(value):
        return loss if keeps_nonfinite else left_out(loss)
    return loss * (limit / value) if value > limit else loss


def _stack(parts: list[Any]) -> Tensor:
    """0-d tensors of one floating dtype and device; plain numbers are float64 by themselves."""
    floating = (part for part in parts if isinstance(part, Tensor) and part.is_floating_point())
    like = next(floating, torch.zeros((), dtype=torch.float64))
    return torch.stack(
        [
            part.reshape(()).to(torch.promote_types(part.dtype, like.dtype))
            if isinstance(part, Tensor)
            else like.new_tensor(number(part))
            for part in parts
        ]
    )
