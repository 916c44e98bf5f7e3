"""Find activation checkpoints whose gradients `torch.autograd.grad` cannot see."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Root = Tensor | GradientEdge
"""Where a backward begins."""

_Edge = tuple[Any, int]
"""A node of the graph, and which of its outputs."""


def check_all_visible(roots: Iterable[Root], parameters: Sequence[Tensor]) -> None:
    """Raise unless every gradient of `roots` on `parameters` can be measured.

    A reentrant checkpoint runs its part of the network once more during backward, by a backward
    of its own that writes into `.grad`. To `torch.autograd.grad` the parameters in there look as
    if no loss depended on them. Which they are only the checkpoint knows, so it counts wherever a
    loss depends on it, unless it lies behind one of `parameters`, e.g. its own output.

    Raises:
        RuntimeError: If there is such a checkpoint, with the way out.
    """
    with torch.inference_mode(False):  # in which torch finds no edge of a parameter
        hiding = _find_hiding(map(_edge, roots), set(map(_edge, parameters)))
    if hiding is not None:
        msg = (
            f"the graph of the losses holds a reentrant checkpoint ({hiding}), which hides the"
            " gradients of its parameters: call torch.utils.checkpoint.checkpoint(...,"
            " use_reentrant=False), in Transformers"
            " gradient_checkpointing_kwargs={'use_reentrant': False}; or measure on an output of"
            " the checkpoint instead of on parameters"
        )
        raise RuntimeError(msg)


def _edge(root: Root) -> _Edge:
    edge = root if isinstance(root, GradientEdge) else get_gradient_edge(root)
    return edge.node, edge.output_nr


def _find_hiding(edges: Iterable[_Edge], stops: set[_Edge]) -> str | None:
    """The name of a checkpoint on the way from `edges`, which are not followed beyond `stops`."""
    waiting, followed = list(edges), set()
    while waiting:
        edge = waiting.pop()
        node = edge[0]
        if node in followed or edge in stops:
            continue
        if _hides(type(node)):
            return str(node.name())
        followed.add(node)
        waiting += [following for following in node.next_functions if following[0] is not None]
    return None


def _hides(kind: Any) -> bool:
    """Whether nodes of this class run a backward of their own.

    Every library has a checkpoint of its own (fairscale, DeepSpeed, Megatron), most of them under
    the name that torch gave it; under another name it is known by its call of
    `torch.autograd.backward`.
    """
    # There is no public way from a node to the `torch.autograd.Function` that it is of.
    function = getattr(kind, "_forward_cls", None)
    if function is None:
        return False
    if any("CheckpointFunction" in base.__name__ for base in function.__mro__):
        return True
    code = getattr(inspect.unwrap(function.backward), "__code__", None)
    return code is not None and {"autograd", "backward"} <= set(code.co_names)
