"""Keeps learned weights from standing still, and notices those that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multi_loss_weighting._warn import warn_user
from multi_loss_weighting.tensors._sent import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

# Long enough for a learning rate that warms up and for gradients that accumulate.
_PATIENCE = 100

_GIVE_TO_OPTIMIZER = (
    "give its parameters to the optimizer, with weight_decay 0 (if a fused optimizer has them, its"
    " learning rate is 0 or too small)"
)
_GIVE_GRADIENT = (
    "they get no gradient: call backward on the total of `weigh`, then `record`; if they get one"
    f" that is set to None before `record`, {_GIVE_TO_OPTIMIZER}"
)


class InFullPrecision(nn.Module):
    """A module that does not go to half precision, in which small steps would be lost."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def keep_digits(tensor: Tensor) -> Tensor:
            new = fn(tensor)
            return tensor.to(new.device) if is_half(new.dtype) else new

        return super()._apply(keep_digits, recurse)  # type: ignore[no-untyped-call]


class MovementWatch:
    """Warns once, with the cause, if a learned parameter has not moved in 100 steps of training.

    On an accelerator nobody waits for the answer: it is sent to the host, and read in the first
    step that finds it there.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._start: tuple[Tensor, int] | None = None
        self._was_free = False
        self._answer: Sent | None = None

    def __reduce__(self) -> tuple[type[MovementWatch], tuple[()]]:
        """A copy is trained by itself, so it counts from the start."""
        return MovementWatch, ()

    @property
    def is_over(self) -> bool:
        """Whether the answer is known."""
        return self._steps > _PATIENCE

    def step(
        self, parameter: Tensor, owner: str, *, is_after_backward: bool, advice: str = ""
    ) -> None:
        """Count a step of training.

        Args:
            parameter: What is learned.
            owner: Whose weights they are, for the warning.
            is_after_backward: Whether the parameter should have a gradient by now.
            advice: What to do if nothing ever wrote to the parameter, where it is nothing usual.
        """
        if self.is_over or not torch.is_grad_enabled():
            return
        if not isinstance(parameter, nn.Parameter) or parameter.is_inference():
            return  # a functional transform has put it there, or it was copied in inference mode
        self._was_free |= parameter.requires_grad
        if self._start is None:
            self._start = _local(parameter).clone(), _writes(parameter)
        if self._steps < _PATIENCE:
            self._steps += 1
            return
        if self._answer is None:
            self._answer = Sent(_stands_still(parameter, *self._start))
        if self._answer.has_arrived():
            if bool(self._answer.read()):
                lacks_gradient = is_after_backward and parameter.grad is None
                advice = advice or (_GIVE_GRADIENT if lacks_gradient else _GIVE_TO_OPTIMIZER)
                cause = self._cause(parameter, self._start[1], advice)
                warn_user(f"the weights of {owner} have not moved in {_PATIENCE} steps: {cause}")
            self._steps, self._start, self._answer = _PATIENCE + 1, None, None

    def _cause(self, parameter: Tensor, version: int, advice: str) -> str:
        if not self._was_free:
            return "they are frozen (requires_grad is False): call requires_grad_(True)"
        if _writes(parameter) == version:
            return advice
        if is_half(parameter.dtype):
            return (
                f"steps this small are lost to rounding in {parameter.dtype}: keep the weights in"
                " float32"
            )
        return "the learning rate (lr) that their optimizer has for them is 0 or too small"


def _writes(parameter: Tensor) -> int:
    """How often it was written to."""
    return parameter._version  # noqa: SLF001  torch shows this count nowhere else


def _stands_still(parameter: Tensor, start: Tensor, version: int) -> Tensor:
    """Whether it has the values of its start, when it had been written to so many times."""
    values = _local(parameter)
    if values.is_meta:  # it has no values
        return torch.tensor(version == _writes(parameter), device="cpu")
    if values.shape != start.shape or not values.numel():
        return torch.tensor(False, device="cpu")
    return start.to(values, non_blocking=True).eq(values).all()


def _local(parameter: Tensor) -> Tensor:
    """The values on this rank: those of a sharded parameter are spread over the ranks."""
    values = parameter.detach()
    return values.to_local() if hasattr(values, "to_local") else values


def is_half(dtype: torch.dtype) -> bool:
    """Whether a step of an optimizer can be too small for numbers of this type near 1."""
    return dtype.is_floating_point and dtype.itemsize < torch.float32.itemsize
