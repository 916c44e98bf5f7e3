"""The gradient of each of several losses, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Root = Tensor | GradientEdge
"""Where a backward begins."""


class Watched(tuple[Tensor, ...]):
    """Parameters of a network that somebody else owns.

    A copy of the one who watches still watches the same network, unless the network is copied in
    the same call.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Tensor]) -> Watched:
        return Watched(memo.get(id(parameter), parameter) for parameter in self)


def watched(parameters: Iterable[Tensor] | Tensor) -> Watched:
    """The parameters, checked.

    Raises:
        TypeError: If one of them is no tensor.
        ValueError: If none of them learns.
    """
    found = Watched([parameters] if isinstance(parameters, Tensor) else parameters)
    for parameter in found:
        if not isinstance(parameter, Tensor):
            msg = f"parameters are tensors, e.g. model.parameters(); got {parameter!r}"
            raise TypeError(msg)
    if not any(parameter.requires_grad for parameter in found):
        msg = f"one parameter or more has a gradient; got {len(found)}, and none of them has one"
        raise ValueError(msg)
    return found


def roots(losses: Tensor) -> list[Root | None]:
    """Where the backward of each element of `losses` [K] begins; None for one without gradient.

    For a stack that is in the losses it was made of. A backward from an element of the stack would
    go through the graphs of all the others too, with zeros.
    """
    node = losses.grad_fn
    if node is None or node.name() != "StackBackward0":
        return list(losses.unbind())
    return [
        None if loss is None else GradientEdge(loss, number) for loss, number in node.next_functions
    ]


def gradient_of(root: Root | None, parameters: Sequence[Tensor]) -> Tensor | None:
    """The gradient on all parameters in one vector [n]; None where there is no way to them."""
    if root is None or (isinstance(root, Tensor) and not root.requires_grad):
        return None
    gradients = torch.autograd.grad(root, parameters, retain_graph=True, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        return None
    return torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for gradient, parameter in zip(gradients, parameters, strict=True)
        ]
    )


def gradient_matrix(roots: Iterable[Root | None], parameters: Iterable[Tensor]) -> Tensor | None:
    """The gradients of K losses, [K, n]: zeros for one without, None if all are without."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    rows = [gradient_of(root, learning) for root in roots] if learning else []
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    return torch.stack([torch.zeros_like(known) if row is None else row for row in rows])
