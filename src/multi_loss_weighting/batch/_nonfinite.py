"""What happens to a loss that is nan or infinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from multi_loss_weighting._warn import warn_user

OnNonfinite = Literal["skip", "keep", "raise"]


@dataclass(frozen=True)
class NonfinitePolicy:
    """What to do with a loss that is not finite.

    Args:
        name: "skip", "keep" or "raise".
        has_backward: Whether the user gave a backward of their own.

    Raises:
        ValueError: If there is no policy of that name.
    """

    name: OnNonfinite
    has_backward: bool

    def __post_init__(self) -> None:
        if self.name not in get_args(OnNonfinite):
            msg = f'nonfinite must be "skip", "keep" or "raise", got {self.name!r}'
            raise ValueError(msg)

    def keeps(self) -> bool:
        """Whether such a loss stays in the objective.

        It does where a step without its backward would break something: a gradient scaler finds out
        in backward that a step must be skipped, and DDP waits there for the gradients of all ranks.
        """
        if self.name == "skip":
            distributed = torch.distributed
            is_one_of_many = distributed.is_available() and distributed.is_initialized()
            return self.has_backward or is_one_of_many
        return self.name == "keep"


def left_out(loss: Any) -> Any:
    """A zero in place of the loss, whose gradient is 0 on each leaf that the loss depends on.

    So backward, a gradient scaler and an optimizer of the network behind this loss alone go on as
    usual; 0 * nan would poison the gradient.
    """
    if not isinstance(loss, Tensor):
        return 0.0
    zero = torch.zeros_like(loss)
    if not (loss.requires_grad and torch.is_grad_enabled()):
        return zero
    return _Zeros.apply(zero, *_leaves(loss))  # type: ignore[no-untyped-call]


class _Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, like: Tensor, *leaves: Tensor) -> Tensor:
        ctx.leaves = leaves
        return torch.zeros_like(like)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *(torch.zeros_like(leaf) for leaf in ctx.leaves))


def _leaves(loss: Tensor) -> list[Tensor]:
    """The tensors at which the backward of the loss ends."""
    if loss.grad_fn is None:
        return [loss]
    found: dict[int, Tensor] = {}
    waiting: list[Any] = [loss.grad_fn]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found[id(variable)] = variable
        for parent, _ in node.next_functions:
            if parent is not None and parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return list(found.values())


def describe(name: str, value: float, step: int) -> str:
    """Which loss is not finite, and when."""
    return f"loss {name!r} is {value} at step {step}"


def warn_nonfinite(name: str, value: float, step: int, is_kept: bool) -> None:
    """The one warning about a loss that is not finite."""
    part = "stays in the objective" if is_kept else "is left out of the objective"
    msg = f"{describe(name, value, step)}: it {part} and enters no statistic"
    warn_user(f"{msg}; those after it are counted in `nonfinite`, without a warning")


def warn_empty(values: dict[str, float]) -> None:
    """The one warning about a step of which no loss is finite."""
    got = ", ".join(f"{name} is {value}" for name, value in values.items())
    msg = f"no loss of this step is finite ({got}): its total is 0, and so are its gradients"
    warn_user(f"{msg}; such steps after it come without this warning")
