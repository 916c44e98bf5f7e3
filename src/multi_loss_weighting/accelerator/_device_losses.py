"""The losses of a group while they live on an accelerator: read without a look at any value."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._value import WIDE, check_loss, read
from multi_loss_weighting.statistics._arrays import clamped
from multi_loss_weighting.tensors._widest import widest

from ._history import DeviceHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from multi_loss_weighting.batch._batch import BatchReader
    from multi_loss_weighting.statistics._record import Numbers
    from multi_loss_weighting.statistics._settings import RatioSettings

_NARROW = {torch.float32, torch.float16, torch.bfloat16}


class DeviceLosses:
    """Reads the losses of each step into tensors [K] of one device, in the order of the group.

    Args:
        reader: The losses of the group.
        records: What is known of them.
        settings: How the loss ratios are kept.
        device: Where they are.
        wait: Reads back what the host does not know yet, and gives the records.
    """

    def __init__(
        self,
        reader: BatchReader,
        records: Sequence[Numbers],
        settings: RatioSettings,
        device: torch.device,
        wait: Callable[[], Sequence[Numbers]],
    ) -> None:
        self.device = device
        self.history = DeviceHistory(reader.names, records, settings, device, wait)
        self._reader = reader
        with torch.inference_mode(False):
            self._nothing = torch.full((), math.nan, device=device)
            self._zero = torch.zeros((), device=device)
        self._limits: dict[torch.dtype, Tensor] = {}

    def read(self, losses: Mapping[str, Any], keeps_nonfinite: bool) -> Batch:
        """Read the losses of one step; `raw` has them as they are, nan for one that is missing.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown, has more than one element or is on another device, or
                none was given.
        """
        self._reader.check_names(losses)
        names = self._reader.names
        is_given = [name in losses for name in names]
        given = None if all(is_given) else is_given
        # Nothing may stand between the losses and their stack: a node there hides who has none.
        missing = self._zero if keeps_nonfinite else self._nothing
        parts = [self._part(losses[name], name) if name in losses else missing for name in names]
        given_parts = [part for part, it in zip(parts, is_given, strict=True) if it]
        # Losses of one dtype are widened together, since each operation is a launch.
        narrow = given_parts[0].dtype
        if any(part.dtype != narrow for part in given_parts) or narrow not in WIDE:
            dtype = _common(given_parts, losses)
            narrow = narrow if all(part.dtype == narrow for part in given_parts) else dtype
        else:
            dtype = narrow
        own = [part.to(narrow) for part in parts]
        mask = None
        if keeps_nonfinite:
            live = torch.stack(own).to(dtype)
            raw = live.detach()
        else:
            live, raw = _Finite.apply(*own)  # type: ignore[no-untyped-call]
            live, raw = live.to(dtype), raw.to(dtype)
        if any(part.dtype != dtype and part.dtype not in _NARROW for part in parts):
            # A plain or a whole number beside them keeps its digits in the record.
            raw = torch.stack([part.detach().to(widest(self.device)) for part in parts])
        if keeps_nonfinite and given is not None:
            mask = self._mask(given)
            raw = torch.where(mask, raw, math.nan)
        self.history.show(None if keeps_nonfinite else raw, mask)
        return Batch(self.clamp(live), [], given, raw=raw)

    def read_means(self, means: Tensor, used: Tensor | None = None) -> Batch:
        """Means over micro-batches or ranks, nan for one that is missing, as one step.

        `used` is what the limits left of them.
        """
        self.history.show(means)
        left = self.clamp(means) if used is None else used
        return Batch(left.nan_to_num(0.0, 0.0, 0.0), [], raw=means)

    def read_nothing(self) -> Batch:
        """A step with none of the losses: a rank that has none, or a batch of no sample."""
        count = len(self._reader.names)
        missing = self.read_means(self._nothing.expand(count))
        return missing._replace(given=[False] * count)

    def _part(self, loss: Any, name: str) -> Tensor:
        if not isinstance(loss, Tensor):
            value = read(loss, name)
            return torch.full((), value, dtype=widest(self.device), device=self.device)
        check_loss(loss, name, self.device)
        return loss.reshape(()) if loss.ndim else loss

    def _mask(self, given: list[bool]) -> Tensor:
        return torch.tensor(given, device="cpu").to(self.device, non_blocking=True)

    def are_finite(self, raw: Tensor, given: list[bool] | None) -> Tensor:
        """Whether all losses [K] of a step that there are, are finite: a 0-d bool tensor."""
        is_finite = raw.isfinite()
        if given is not None:
            is_finite.logical_or_(self._mask([not it for it in given]))
        return is_finite.all()

    def clamp(self, losses: Tensor) -> Tensor:
        """Each loss above its limit scaled down to it, so that its gradient keeps its direction."""
        limits = self._reader.limits
        if not any(limit < math.inf for limit in limits):
            return losses
        if losses.dtype not in self._limits:
            with torch.inference_mode(False):
                bounds = torch.tensor(limits, dtype=losses.dtype, device="cpu")
                self._limits[losses.dtype] = bounds.to(self.device)
        bounded: Tensor = clamped(losses, self._limits[losses.dtype])
        return bounded


class _Finite(torch.autograd.Function):
    """K losses as a tensor [K] with 0 for what is not finite, and as they are."""

    @staticmethod
    def forward(ctx: Any, *losses: Tensor) -> tuple[Tensor, Tensor]:
        raw = torch.stack(losses)
        masked = raw.nan_to_num(0.0, 0.0, 0.0)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(raw)
        ctx.save_for_backward(raw)
        ctx.save_for_forward(raw)
        return masked, raw

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        (raw,) = ctx.saved_tensors
        if gradient is None:
            return (None,) * len(raw)
        return gradient.masked_fill(raw.isfinite().logical_not_(), 0.0).unbind()

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, None]:
        (raw,) = ctx.saved_tensors
        zero = torch.zeros((), dtype=raw.dtype, device=raw.device)
        moved = torch.stack([zero if one is None else one for one in tangents])
        return moved.masked_fill(raw.isfinite().logical_not(), 0.0), None


def _common(parts: list[Tensor], losses: Mapping[str, Any]) -> torch.dtype:
    """The dtype of the objective: that of the tensors among the losses, float32 or wider."""
    tensors = [loss for loss in losses.values() if isinstance(loss, Tensor)]
    dtypes = [one.dtype for one in tensors or parts if one.dtype.is_floating_point]
    return reduce(torch.promote_types, dtypes, torch.float32)
