"""What happens to a loss that is nan or infinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from multi_loss_weighting._warn import warn_user

from ._value import widened

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def left_out(losses: Sequence[Any]) -> Any:
    """A zero in place of these losses, whose gradient is 0 on each leaf that they depend on.

    So backward, a gradient scaler and an optimizer of the network behind these losses alone go on
    as usual; 0 * nan would poison the gradient.
    """
    tensors = [loss.as_subclass(Tensor) for loss in losses if isinstance(loss, Tensor)]
    if not tensors:
        return 0.0
    zero = torch.zeros_like(widened(tensors[0]))
    learning = [loss for loss in tensors if loss.requires_grad and torch.is_grad_enabled()]
    if not learning:
        return zero
    leaves = _leaves(learning)
    return _Zeros.apply(zero, [*leaves.values()], *leaves)  # type: ignore[no-untyped-call]


class _Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, zero: Tensor, are_sparse: list[bool], *leaves: Tensor) -> Tensor:
        ctx.leaves, ctx.are_sparse = leaves, are_sparse
        return torch.zeros_like(zero)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *map(_zeros, ctx.leaves, ctx.are_sparse))


def _zeros(leaf: Tensor, is_sparse: bool) -> Tensor:
    if not is_sparse:
        return torch.zeros_like(leaf)
    places = torch.empty(1, 0, dtype=torch.int64, device=leaf.device)
    numbers = leaf.new_empty(0, *leaf.shape[1:])
    return torch.sparse_coo_tensor(places, numbers, leaf.shape, check_invariants=False)


def _leaves(losses: list[Tensor]) -> dict[Tensor, bool]:
    """The tensors at which the backward of these losses ends; whether with sparse gradients.

    Those are of an embedding, and an optimizer for them takes no others.
    """
    found = {loss: False for loss in losses if loss.grad_fn is None}
    waiting: list[Any] = [loss.grad_fn for loss in losses if loss.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        is_sparse = getattr(node, "_saved_sparse", False)
        for parent, _ in node.next_functions:
            if parent is None:
                continue
            if parent.name() == "torch::autograd::AccumulateGrad":
                found[parent.variable] = is_sparse and found.get(parent.variable, True)
            elif parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return found


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
    msg = (
        f"no loss of this step is finite ({got}): its total is 0, and so are its gradients, which"
        " parameters inside an activation checkpoint only get with use_reentrant=False"
    )
    warn_user(f"{msg}; such steps after it come without this warning")
