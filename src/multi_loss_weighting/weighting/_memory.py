"""What a module remembers from call to call, beside its parameters: take it, put it back, save it.

Methods of TorchJD keep it in plain attributes and in buffers that begin as None, neither of which
a `state_dict` brings back.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Memory = list[dict[str, Any]]
"""From attribute to value, for each module in a module."""

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@cache
def _settings(kind: Any) -> frozenset[str]:
    """What the user gave when the module was made, which is not for a checkpoint to change."""
    return frozenset(name.strip("_") for name in inspect.signature(kind).parameters)


def _attributes(module: nn.Module) -> dict[str, Any]:
    own = {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE}
    kind: Any = type(module)
    settings = _settings(kind)
    return {
        name: value
        for name, value in {**own, **module._buffers}.items()
        if name.strip("_") not in settings
    }


def look(method: nn.Module) -> Memory:
    """The memory itself."""
    return [_attributes(module) for module in method.modules()]


def take(method: nn.Module) -> Memory:
    """A copy of the memory, since some methods write into their tensors."""
    return [
        {name: _copy(value) for name, value in attributes.items()} for attributes in look(method)
    ]


def put(method: nn.Module, memory: Memory) -> None:
    """Make this the memory."""
    for module, own, attributes in zip(method.modules(), look(method), memory, strict=True):
        for name in own.keys() - attributes.keys():
            del vars(module)[name]
        _set(module, attributes)


def _set(module: nn.Module, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        place = module._buffers if name in module._buffers else vars(module)
        place[name] = value


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    return [_copy(item) for item in value] if isinstance(value, list) else value


# What survives a restart.


def save(method: nn.Module) -> Memory:
    """The memory as `torch.save` takes it and `torch.load(weights_only=True)` gives it back."""
    return [
        {name: _packed(value) for name, value in attributes.items() if _can_be_saved(value)}
        for attributes in look(method)
    ]


def check(method: nn.Module, saved: Any) -> None:
    """Raise a ValueError unless `saved` came from such a method."""
    own = [set(attributes) for attributes in look(method)]
    keys = [set(attributes) for attributes in saved] if isinstance(saved, list) else None
    if keys is None or len(keys) != len(own) or not all(map(set.issubset, keys, own)):
        msg = f"the state of a {type(method).__name__} with {own} is needed; got {keys or saved}"
        raise ValueError(msg)


def load(method: nn.Module, saved: Memory) -> None:
    """Continue from `save()`."""
    for module, attributes in zip(method.modules(), saved, strict=True):
        _set(module, {name: _unpacked(value, module) for name, value in attributes.items()})
        # NashMTL states its problem at its first step only.
        state_problem = getattr(module, "_init_optim_problem", None)
        if state_problem is not None:
            state_problem()


_PLAIN = (bool, int, float, str, torch.dtype, torch.device, type(None))


def _can_be_saved(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_can_be_saved, value))
    return isinstance(value, (*_PLAIN, Tensor, np.ndarray, torch.optim.Adam))


def _packed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_packed(item) for item in value]}
    if isinstance(value, np.ndarray):
        return {"ndarray": torch.from_numpy(value.copy())}
    if isinstance(value, torch.optim.Adam):
        return {"Adam": value.state_dict()}
    return value.detach().clone() if isinstance(value, Tensor) else value


def _unpacked(value: Any, module: Any) -> Any:
    if not isinstance(value, dict):
        return value.clone() if isinstance(value, Tensor) else value
    ((kind, content),) = value.items()
    if kind == "ndarray":
        return content.numpy().copy()
    if kind == "Adam":
        # FAMO has one of its own, which it makes at its first update.
        adam = torch.optim.Adam(module.parameters(), lr=module.lr, weight_decay=module.weight_decay)
        adam.load_state_dict(content)
        return adam
    items = [_unpacked(item, module) for item in content]
    return tuple(items) if kind == "tuple" else items
