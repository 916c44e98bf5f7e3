"""The gradient of each of several losses, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from ._recomputed import Root, check_all_visible

_STACKS = {"StackBackward0", "_FiniteBackward"}
"""Nodes that put losses into one tensor: torch's own, and that for losses on an accelerator."""

_COPIES = {"CloneBackward0", "ToCopyBackward0"}


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
        ValueError: If none of them requires a gradient.
    """
    given: Any = [parameters] if isinstance(parameters, Tensor) else parameters
    found = Watched(given if isinstance(given, Iterable) else [given])
    for parameter in found:
        if not isinstance(parameter, Tensor):
            msg = f"parameters must be tensors, e.g. model.parameters(), got {parameter!r}"
            raise TypeError(msg)
    if not any(parameter.requires_grad for parameter in found):
        got = f"{len(found)} without" if found else "none (model.parameters() gives them only once)"
        msg = f"one or more of parameters must require a gradient, got {got}"
        raise ValueError(msg)
    return found


class Start(NamedTuple):
    """Where the backward of a loss begins, and what the loss is that over; itself if None."""

    root: Root
    over: Tensor | None = None


def roots(losses: Tensor) -> list[Start | None]:
    """Where the backward of each element of `losses` [K] begins; None for one without gradient.

    For a stack, or one that was clamped or divided by sizes, that is in the losses it was made of.
    A backward from an element of the stack would go through the graphs of all the others too, with
    zeros.
    """
    node: Any = losses.grad_fn
    sizes: Tensor | None = None
    while node is not None:
        own = _constant(node)
        if own is not None:
            own = own if node.name() == "DivBackward0" else own.reciprocal()
            sizes = own if sizes is None else sizes * own
        elif node.name() not in _COPIES:
            break
        node = node.next_functions[0][0]
    if node is None or node.name() not in _STACKS:
        return [Start(loss) for loss in losses.unbind()]
    each = [None] * len(losses) if sizes is None else sizes.expand_as(losses).unbind()
    return [
        None if loss is None else Start(GradientEdge(loss, number), size)
        for (loss, number), size in zip(node.next_functions, each, strict=True)
    ]


def _constant(node: Any) -> Tensor | None:
    """What a node divides by, or multiplies with, if that is a tensor without gradient."""
    if node.name() not in ("DivBackward0", "MulBackward0") or node.next_functions[1][0] is not None:
        return None
    other = node._saved_other  # noqa: SLF001
    return other if isinstance(other, Tensor) else None


def gradients_of(losses: Tensor, names: Sequence[str], parameters: Iterable[Tensor]) -> Tensor:
    """The gradients of the losses [K], which were put into one tensor, as `gradient_matrix`.

    Raises:
        RuntimeError: If none depends on the parameters, or a reentrant checkpoint hides some.
    """
    matrix = gradient_matrix(roots(losses), parameters)
    if matrix is None:
        raise none_depends(names)
    return matrix


def none_depends(names: Sequence[str]) -> RuntimeError:
    """The error of losses without a gradient on the parameters."""
    needed = "some of the losses must depend on the parameters that were given"
    return RuntimeError(f"{needed}, and none depends on them: {', '.join(names)}")


def gradient_matrix(roots: Iterable[Start | None], parameters: Iterable[Tensor]) -> Tensor | None:
    """The gradients of K losses, [K, n], in float32 or wider.

    A loss without gradient has zeros; None if all are without.

    Raises:
        RuntimeError: If a reentrant checkpoint hides some of the gradients.
    """
    rows = list(gradient_rows(roots, parameters))
    known = next((row for row in rows if row is not None), None)
    if known is None:
        return None
    return torch.stack([torch.zeros_like(known) if row is None else row for row in rows])


def gradient_rows(
    roots: Iterable[Start | None], parameters: Iterable[Tensor]
) -> Iterator[Tensor | None]:
    """The gradients of K losses, one after the other, [n] each; None for one without.

    Raises:
        RuntimeError: If a reentrant checkpoint hides some of the gradients.
    """
    learning = [one for one in parameters if one.requires_grad and not one.is_inference()]
    live = [root if learning and _is_live(root) else None for root in roots]
    check_all_visible([start.root for start in live if start is not None], learning)
    for root in live:
        yield None if root is None else _gradient(root, learning)


def gradient_norms(
    roots: Iterable[Start | None], parameters: Iterable[Tensor]
) -> list[Tensor | None]:
    """The Euclidean norms of the gradients of K losses; None for one without.

    Raises:
        RuntimeError: If a reentrant checkpoint hides some of the gradients.
    """
    return [None if row is None else _norm(row) for row in gradient_rows(roots, parameters)]


def _norm(gradient: Tensor) -> Tensor:
    units, largest = scaled(gradient[None])
    norm: Tensor = units[0].norm() * largest[0]
    return norm.detach()


def scaled(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients [K, n] with 1 as the largest number of each, and those largest numbers [K].

    Squares of small gradients would be 0, and those of large ones infinite.
    """
    largest = gradients.abs().amax(dim=1)
    return gradients / largest.clamp(min=torch.finfo(gradients.dtype).tiny)[:, None], largest


def _is_live(start: Start | None) -> bool:
    return start is not None and (isinstance(start.root, GradientEdge) or start.root.requires_grad)


def _gradient(start: Start, parameters: Sequence[Tensor]) -> Tensor | None:
    """The gradient on all parameters in one vector [n]; None where there is no way to them."""
    with without_autocast(parameters[0].device):
        gradients = torch.autograd.grad(
            start.root, parameters, retain_graph=True, allow_unused=True
        )
    if all(gradient is None for gradient in gradients):
        return None
    row = torch.cat(
        [
            widened(torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for gradient, parameter in zip(gradients, parameters, strict=True)
        ]
    )
    return row if start.over is None else row / start.over.to(row)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Where the user weighs under autocast, products of matrices would be in half precision."""
    has_autocast = torch.amp.is_autocast_available(device.type)
    if has_autocast and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def widened(tensor: Tensor) -> Tensor:
    """The tensor itself, or in float32 if it is in half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
