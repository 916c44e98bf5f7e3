"""The backward of an objective: the tensor's own, or one that the user gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

Backward = Callable[..., object]


def check_backward(loss: Any, name: str) -> None:
    """Raise unless the loss has a backward to call."""
    if not isinstance(loss, Tensor):
        msg = (
            f"update calls backward, and loss {name!r} has none, being a {type(loss).__name__}:"
            " pass do_backwards=False to track it only"
        )
        raise TypeError(msg)
    if not loss.requires_grad:
        msg = (
            f"update calls backward, and loss {name!r} has no gradient: pass do_backwards=False"
            " to track it only, or do not detach it"
        )
        raise ValueError(msg)


def run_backward(loss: Tensor, backward: Backward | None, retain_graph: bool) -> Tensor:
    """Call backward, the user's own where there is one, and let go of the graph."""
    run = Tensor.backward if backward is None else backward
    if retain_graph:
        run(loss, retain_graph=True)
    else:
        run(loss)
    return loss.detach()
