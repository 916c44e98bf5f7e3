"""The losses of a group while they live on an accelerator: read without a look at any value."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._value import check_device_loss, read

from ._history import DeviceHistory
from ._means import widest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting.step._losses import Members


class OnDevice:
    """Reads the losses of each step into tensors [K] of one device, in the order of the group.

    Args:
        members: The losses of the group.
        device: Where they are.
        catch_up: Reads back what the host does not know yet.
    """

    def __init__(
        self,
        members: Members,
        device: torch.device,
        catch_up: Callable[[], None],
    ) -> None:
        self.device = device
        self.history = DeviceHistory(members.history, members.ratio, device, catch_up)
        self._reader = members.reader
        self._names = tuple(members.losses)
        with torch.inference_mode(False):
            self._nothing = torch.full((), math.nan, device=device)
        self._limits: dict[torch.dtype, Tensor] = {}

    def read(self, losses: Mapping[str, Any], keeps_nonfinite: bool) -> Batch:
        """Read the losses of one step; `raw` has them as they are, nan for one that is missing.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown, has more than one element or is on another device, or
                none was given.
        """
        self._reader.check_names(losses)
        parts = _alike(
            [self._part(losses[name], name) for name in self._names if name in losses],
            [part.dtype for part in losses.values() if isinstance(part, Tensor)],
        )
        is_given = [name in losses for name in self._names]
        given = None if all(is_given) else is_given
        if given is not None:
            mine = iter(parts)
            nothing = self._nothing.to(parts[0].dtype)
            parts = [next(mine) if it else nothing for it in is_given]
        if keeps_nonfinite:
            raw = torch.stack(parts)
            mask = None if given is None else self._mask(given)
            live = raw if mask is None else torch.where(mask, raw, 0.0)
            raw = raw.detach()
            self.history.show(None, mask)
        else:
            live, raw = _Finite.apply(*parts)  # type: ignore[no-untyped-call]
            self.history.show(raw)
        return Batch(self.clamp(live), [], given, raw=raw)

    def read_means(self, means: Tensor) -> Batch:
        """Means over micro-batches or ranks, nan for one that is missing, as one step."""
        masked = means.nan_to_num(0.0, 0.0, 0.0)
        self.history.show(means)
        return Batch(self.clamp(masked), [], raw=means)

    def read_nothing(self) -> Batch:
        """The step of a rank that has none of the losses."""
        missing = self.read_means(self._nothing.expand(len(self._names)))
        return missing._replace(given=[False] * len(self._names))

    def _part(self, loss: Any, name: str) -> Tensor:
        if not isinstance(loss, Tensor):
            value = read(loss, name)
            return torch.full((), value, dtype=widest(self.device), device=self.device)
        check_device_loss(loss, name, self.device)
        return loss.reshape(()) if loss.ndim else loss

    def _mask(self, given: list[bool]) -> Tensor:
        return torch.tensor(given).to(self.device, non_blocking=True)

    def are_finite(self, raw: Tensor, given: list[bool] | None) -> Tensor:
        """Whether all losses [K] of a step that there are, are finite: a 0-d bool tensor."""
        is_finite = raw.isfinite()
        if given is not None:
            is_finite.logical_or_(self._mask([not it for it in given]))
        return is_finite.all()

    def clamp(self, losses: Tensor) -> Tensor:
        """Each loss above its limit scaled down to it, so that its gradient keeps its direction."""
        limits = self._reader.limits.values()
        if not any(limit < math.inf for limit in limits):
            return losses
        if losses.dtype not in self._limits:
            most = torch.finfo(losses.dtype).max
            with torch.inference_mode(False):
                bounds = torch.tensor([min(limit, most) for limit in limits], dtype=losses.dtype)
                self._limits[losses.dtype] = bounds.to(self.device)
        bound = self._limits[losses.dtype]
        return losses * (bound / torch.maximum(losses.detach(), bound))


class _Finite(torch.autograd.Function):
    """K losses as a tensor [K] with 0 for what is not finite, and as they are."""

    @staticmethod
    def forward(ctx: Any, *losses: Tensor) -> tuple[Tensor, Tensor]:
        raw = torch.stack(losses)
        masked = raw.nan_to_num(0.0, 0.0, 0.0)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(raw)
        ctx.save_for_backward(raw)
        return masked, raw

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        (raw,) = ctx.saved_tensors
        if gradient is None:
            return (None,) * len(raw)
        return gradient.masked_fill(raw.isfinite().logical_not_(), 0.0).unbind()


def _alike(parts: list[Tensor], dtypes: list[torch.dtype]) -> list[Tensor]:
    """Losses of one floating dtype: that of the tensors among them, if there are any."""
    if len(dtypes) == len(parts) and dtypes[0].is_floating_point and len(set(dtypes)) == 1:
        return parts
    floating = [dtype for dtype in dtypes if dtype.is_floating_point]
    dtype = reduce(torch.promote_types, floating) if floating else parts[0].dtype
    return [
        part.to(dtype if dtype.is_floating_point else torch.get_default_dtype()) for part in parts
    ]
