"""The memory of a method of TorchJD as one tensor, for checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multi_loss_weighting._state import pack, unpack

from ._memory import Memory, deeply, look, put

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCK = 1024
"""So many float64 numbers hold what most methods will ever remember."""


def pack_padded(value: dict[str, Any]) -> Tensor:
    """As `pack`, with zeros up to a whole number of blocks.

    So the shape changes only where the memory of a method outgrows a block: that of ExcessMTL at
    its first step, that of most others never.
    """
    packed = pack(value)
    padding = packed.new_zeros(-len(packed) % _BLOCK)
    return pack({"length": len(packed), "padded": torch.cat([packed, padding])})


def unpack_padded(state: Tensor, keys: list[str] | None = None) -> dict[str, Any]:
    """The dict with these keys that `pack_padded` was given.

    Raises:
        ValueError: If it is something else, or was changed.
    """
    content = unpack(state)
    if _has_keys(content, ["length", "padded"]):
        content = unpack(content["padded"][: content["length"]])
    if not isinstance(content, dict) or (keys is not None and list(content) != keys):
        what = list(content) if isinstance(content, dict) else content
        msg = f"the state must be of such a TorchJDWeighting, with {keys}, got {what}"
        raise ValueError(msg)
    return dict(content)


def _has_keys(content: Any, keys: list[str]) -> bool:
    return isinstance(content, dict) and list(content) == keys


def in_order(state: Tensor, names: Sequence[str], capacity: int | None) -> Tensor | None:
    """The state of a weighting for its losses in the order of `names`.

    None for other losses, if the method remembers a number for each.
    """
    saved = unpack_padded(state)
    known = saved["names"]
    if not known or known == list(names):
        return state
    sizes = {len(known), capacity or len(known)}
    if set(known) != set(names):
        return None if _has_size(saved["memory"], sizes) else state
    first = [known.index(name) for name in names]
    # A method for more losses than have come has places for the others behind theirs.
    orders = {size: [*first, *range(len(known), size)] for size in sizes}
    ordered = {key: _ordered(value, orders) for key, value in saved.items()}
    if saved.get("step") is not None:
        ordered["step"][0] = list(names)
    return pack_padded(ordered | {"names": list(names)})


def _ordered(value: Any, orders: dict[int, list[int]]) -> Any:
    """A number for each loss, or for each pair of losses, in another order."""
    if isinstance(value, dict):
        return {key: _ordered(one, orders) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_ordered(one, orders) for one in value])
    if isinstance(value, Tensor | np.ndarray):
        for axis, size in enumerate(value.shape):
            if size in orders:
                value = value.swapaxes(0, axis)[orders[size]].swapaxes(0, axis)
    return value


def _has_size(value: Any, sizes: set[int]) -> bool:
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return any(_has_size(one, sizes) for one in parts)
    return isinstance(value, Tensor | np.ndarray) and not sizes.isdisjoint(value.shape)


def save(method: nn.Module, device: torch.device) -> Memory:
    """The memory as `pack` takes it; the losses were on `device`."""
    return [
        {
            name: deeply(value, lambda one: _to_plain(one, device))
            for name, value in attributes.items()
            if _can_be_saved(value)
        }
        for attributes in look(method)
    ]


def load(method: nn.Module, saved: Memory, device: torch.device) -> Memory:
    """The memory for `restore`, with losses that are on `device`. Nothing changes.

    Raises:
        ValueError: If it was not saved by such a method.
    """
    own = [set(attributes) for attributes in look(method)]
    keys = [set(attributes) for attributes in saved]
    if len(keys) != len(own) or not all(map(set.issubset, keys, own)):
        msg = f"the state must be that of a {type(method).__name__} with {own}, got {keys}"
        raise ValueError(msg)
    return [
        _loaded(attributes, module, device)
        for module, attributes in zip(method.modules(), saved, strict=True)
    ]


def _loaded(attributes: dict[str, Any], module: nn.Module, device: torch.device) -> dict[str, Any]:
    return {
        name: deeply(value, lambda one: _from_plain(one, module, device))
        for name, value in attributes.items()
    }


def restore(method: nn.Module, memory: Memory) -> None:
    """Continue from what `load` gave."""
    put(method, [own | loaded for own, loaded in zip(look(method), memory, strict=True)])
    for module in method.modules():
        # NashMTL states its problem at its first step only, and has no public name for it.
        state_problem = getattr(module, "_init_optim_problem", None)
        if state_problem is not None:
            state_problem()


_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


def _can_be_saved(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_can_be_saved, value))
    return isinstance(value, (*_PLAIN, Tensor, np.ndarray, torch.optim.Adam))


def _to_plain(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "of losses" if value == device else str(value)}
    if isinstance(value, torch.optim.Adam):
        return {"Adam": value.state_dict()}
    if isinstance(value, Tensor) and value.device != device:
        return {"elsewhere": value, "on": str(value.device)}
    return value


def _from_plain(value: Any, module: Any, device: torch.device) -> Any:
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
