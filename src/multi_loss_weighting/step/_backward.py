"""The backward of an objective: the tensor's own, or one that the user gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Backward = Callable[..., object]


def checked_backward(backward: Any) -> Backward | None:
    """`backward` itself, if it can be called, or is None."""
    if backward is not None and not callable(backward):
        msg = f"backward must be called with the total, as accelerator.backward, got {backward!r}"
        raise TypeError(msg)
    own: Backward | None = backward
    return own


def check_backward(loss: Any, name: str) -> None:
    """Raise unless the loss has a backward to call.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it has no gradient.
    """
    if not isinstance(loss, Tensor):
        msg = (
            f"loss {name!r} must be a tensor for update to call backward, got a"
            f" {type(loss).__name__}: pass do_backwards=False to track it only"
        )
        raise TypeError(msg)
    if not loss.requires_grad:
        msg = f"{why_no_backward(f'loss {name!r} has no gradient')} to track it only"
        raise ValueError(msg)


def why_no_backward(why: str) -> str:
    """Why there is none to call, and the way out."""
    if not torch.is_grad_enabled():
        why = "is inside torch.no_grad()"
    return f"update calls backward, but {why}: pass do_backwards=False"


def run_backward(loss: Tensor, backward: Backward | None, retain_graph: bool) -> Tensor:
    """Call backward, the user's own where there is one, and let go of the graph.

    Raises:
        ValueError: If the weights, or where it is weighed, left the loss without a gradient.
    """
    run = Tensor.backward if backward is None else backward
    try:
        if retain_graph:
            run(loss, retain_graph=True)
        else:
            run(loss)
    except RuntimeError as error:
        if loss.requires_grad:
            raise
        msg = why_no_backward("what was weighed has no gradient any more")
        raise ValueError(msg) from error
    return loss.detach()
