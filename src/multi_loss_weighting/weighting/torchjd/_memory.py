"""What a method of TorchJD remembers from call to call, beside its parameters.

Methods of TorchJD keep it in plain attributes and in buffers that begin as None, neither of which
a `state_dict` brings back.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

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
        for name, value in {**own, **_buffers(module)}.items()
        if name.strip("_") not in settings
    }


def _buffers(module: nn.Module) -> dict[str, Tensor | None]:
    return module._buffers  # noqa: SLF001  named_buffers() leaves out those that are None


def look(method: nn.Module) -> Memory:
    """The memory itself."""
    return [_attributes(module) for module in method.modules()]


def take(method: nn.Module) -> Memory:
    """A copy of the memory, since some methods write into their tensors."""
    return _each(look(method), _copy)


def put(method: nn.Module, memory: Memory) -> None:
    """Make this the memory."""
    for module, own, attributes in zip(method.modules(), look(method), memory, strict=True):
        for name in own.keys() - attributes.keys():
            delattr(module, name)
        for name, value in attributes.items():
            setattr(module, name, value)


def move(method: nn.Module, old: torch.device, new: torch.device) -> None:
    """Take to `new` what is on `old`; a method may keep other parts of it elsewhere."""

    def moved(value: Any) -> Any:
        if isinstance(value, torch.device):
            return new if value == old else value
        is_there = isinstance(value, Tensor) and value.device == old
        return value.to(new) if is_there else value

    put(method, _each(look(method), moved))


def remembers_each_of(method: nn.Module, count: int) -> bool:
    """Whether the memory holds a number for each of `count` losses."""
    values = [value for attributes in look(method) for value in attributes.values()]
    items = [item for one in values for item in (one if isinstance(one, list | tuple) else [one])]
    return any(count in item.shape for item in items if isinstance(item, Tensor | np.ndarray))


def keep_out_of_state(method: nn.Module) -> None:
    """Torch cannot load a buffer that begins as None, so those go the way of other memory."""
    for module in method.modules():
        for name, value in _buffers(module).items():
            if value is None:
                module.register_buffer(name, None, persistent=False)


def _each(memory: Memory, change: Callable[[Any], Any]) -> Memory:
    return [
        {name: deeply(value, change) for name, value in attributes.items()} for attributes in memory
    ]


def deeply(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with each number, tensor and so on in its lists and tuples changed."""
    if isinstance(value, list | tuple):
        return type(value)([deeply(item, change) for item in value])
    return change(value)


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value
