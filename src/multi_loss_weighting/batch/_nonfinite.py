"""What happens to a loss that is nan or infinite."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from multi_loss_weighting._warn import warn_user

OnNonfinite = Literal["skip", "keep", "raise"]


def checked_nonfinite(policy: OnNonfinite) -> OnNonfinite:
    """`policy` itself, if it is one."""
    if policy not in get_args(OnNonfinite):
        msg = f'nonfinite is "skip", "keep" or "raise"; got {policy!r}'
        raise ValueError(msg)
    return policy


def keeps_nonfinite(policy: str, backward: object) -> bool:
    """Whether a loss that is not finite stays in the objective.

    It does where a step without its backward would break something: a gradient scaler finds out
    in backward that a step must be skipped, and DDP waits there for the gradients of all ranks.
    """
    if policy == "skip":
        distributed = torch.distributed
        is_one_of_many = distributed.is_available() and distributed.is_initialized()
        return backward is not None or is_one_of_many
    return policy == "keep"


def left_out(loss: Any) -> Any:
    """A zero in place of the loss; 0 * nan would still poison the gradient.

    It takes part in a sum and in backward as a loss does, and its gradient goes nowhere.
    """
    if not isinstance(loss, Tensor):
        return 0.0
    return torch.zeros_like(loss.detach()).requires_grad_(loss.requires_grad)


def describe(name: str, value: float, step: int) -> str:
    """Which loss is not finite, and when."""
    return f"loss {name!r} is {value} at step {step}"


def warn_nonfinite(name: str, value: float, step: int, is_kept: bool) -> None:
    """The one warning about a loss that is not finite."""
    part = "stays in the objective" if is_kept else "is left out of the objective"
    msg = f"{describe(name, value, step)}: it {part} and enters no statistic"
    warn_user(f"{msg}; those after it are counted in `nonfinite`, without a warning")
