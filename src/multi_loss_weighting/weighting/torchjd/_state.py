"""The memory of a method of TorchJD as one tensor, for checkpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from multi_loss_weighting.tensors._state import pack, unpack

from ._memory import Memory, has_size, look, put

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCK = 1024
"""So many float64 numbers hold what most methods will ever remember."""

_PLAIN = (bool, int, float, str, type(None), torch.Size, torch.dtype, torch.device)
_KINDS = (*_PLAIN, Tensor, np.ndarray, torch.optim.Adam)
"""What can be saved, alone or in lists and tuples."""


def pack_padded(value: dict[str, Any]) -> Tensor:
    """As `pack`, with zeros up to a whole number of blocks.

    So the shape changes only where the memory of a method outgrows a block: that of ExcessMTL at
    its first step, that of most others never.
    """
    packed = pack(value)
    padding = packed.new_zeros(-len(packed) % _BLOCK)
    return pack({"length": len(packed), "padded": torch.cat([packed, padding])})


def unpack_padded(state: Tensor, keys: list[str]) -> dict[str, Any]:
    """The dict with these keys that `pack_padded` was given.

    Raises:
        ValueError: If it is something else, or was changed.
    """
    content = unpack(state)
    if isinstance(content, dict) and list(content) == ["length", "padded"]:
        content = unpack(content["padded"][: content["length"]])
    if not isinstance(content, dict) or list(content) != keys:
        what = list(content) if isinstance(content, dict) else content
        msg = f"the state must be of such a TorchJDWeighting, with {keys}, got {what}"
        raise ValueError(msg)
    return content


def in_order(
    saved: dict[str, Any], names: Sequence[str], capacity: int | None
) -> dict[str, Any] | None:
    """The state of a weighting for its losses in the order of `names`.

    None for other losses, if the method remembers a number for each.
    """
    known = saved["names"]
    if not known or known == list(names):
        return saved
    sizes = {len(known), capacity or len(known)}
    if set(known) != set(names):
        return None if has_size(saved["memory"], sizes) else saved
    first = [known.index(name) for name in names]
    # A method for more losses than have come has places for the others behind theirs.
    orders = {size: [*first, *range(len(known), size)] for size in sizes}
    ordered = tree_map(partial(_ordered, orders), saved)
    if saved.get("step") is not None and saved["step"][0]:
        ordered["step"][0] = list(names)
    return {**ordered, "names": list(names)}


def _ordered(orders: dict[int, list[int]], value: Any) -> Any:
    """A number for each loss, or for each pair of losses, in another order."""
    if isinstance(value, Tensor | np.ndarray):
        for axis, size in enumerate(value.shape):
            if size in orders:
                value = value.swapaxes(0, axis)[orders[size]].swapaxes(0, axis)
    return value


def save(method: nn.Module, device: torch.device) -> Memory:
    """The memory as `pack` takes it; the losses were on `device`."""
    return [
        {
            name: tree_map(partial(_to_plain, device), value)
            for name, value in attributes.items()
            if all(isinstance(one, _KINDS) for one in tree_leaves(value, is_leaf=_is_one))
        }
        for attributes in look(method)
    ]


def load(method: nn.Module, saved: Memory, device: torch.device) -> None:
    """Continue from what `save` gave, with losses that are on `device`.

    Raises:
        ValueError: If it was not saved by such a method; nothing has changed.
    """
    memory = look(method)
    own = [set(attributes) for attributes in memory]
    keys = [set(attributes) for attributes in saved]
    if len(keys) != len(own) or not all(map(set.issubset, keys, own)):
        msg = f"the state must be that of a {type(method).__name__} with {own}, got {keys}"
        raise ValueError(msg)
    for module, attributes, kept in zip(method.modules(), saved, memory, strict=True):
        decode = partial(_from_plain, module, device)
        for name, value in attributes.items():
            kept[name] = tree_map(decode, value, is_leaf=_is_one)
    put(method, memory)
    for module in method.modules():
        # NashMTL states its problem at its first step only, and has no public name for it.
        state_problem = getattr(module, "_init_optim_problem", None)
        if state_problem is not None:
            state_problem()


def _is_one(value: Any) -> bool:
    return not isinstance(value, list | tuple)


def _to_plain(device: torch.device, value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "of losses" if value == device else str(value)}
    if isinstance(value, torch.optim.Adam):
        return {"Adam": value.state_dict()}
    if isinstance(value, Tensor) and value.device != device:
        return {"elsewhere": value, "on": str(value.device)}
    return value


def _from_plain(module: Any, device: torch.device, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "dtype":
        return getattr(torch, content)
    if kind == "device":
        return device if content == "of losses" else torch.device(content)
    return _adam(module, content) if kind == "Adam" else content.to(value["on"])


def _adam(module: Any, state: dict[str, Any]) -> torch.optim.Adam:
    """The optimizer of its own that FAMO makes at its first update."""
    adam = torch.optim.Adam(module.parameters(), lr=module.lr, weight_decay=module.weight_decay)
    adam.load_state_dict(state)
    return adam
