"""What a method of TorchJD remembers from call to call, beside its parameters.

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
from torch.utils._pytree import tree_leaves, tree_map

Memory = list[dict[str, Any]]
"""From attribute to value, for each module in a module."""

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


@cache
def _settings(kind: Any) -> frozenset[str]:
    """What the user gave when the module was made, which is not for a checkpoint to change."""
    return frozenset(name.strip("_") for name in inspect.signature(kind).parameters)


def _attributes(module: nn.Module) -> dict[str, Any]:
    kind: Any = type(module)
    settings = _settings(kind)
    return {
        name: value
        for name, value in {**vars(module), **_buffers(module)}.items()
        if name not in _OF_EVERY_MODULE and name.strip("_") not in settings
    }


def _buffers(module: nn.Module) -> dict[str, Tensor | None]:
    return module._buffers  # noqa: SLF001  named_buffers() leaves out those that are None


def look(method: nn.Module) -> Memory:
    """The memory itself."""
    return [_attributes(module) for module in method.modules()]


def take(method: nn.Module) -> Memory:
    """A copy of the memory, since some methods write into their tensors.

    At each step, so it goes without `tree_map`, which takes three times as long.
    """
    return [
        {name: _copy(value) for name, value in attributes.items()} for attributes in look(method)
    ]


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

    put(method, tree_map(moved, look(method)))


def has_size(memory: Any, sizes: set[int]) -> bool:
    """Whether there is a number for each of so many losses in it."""
    arrays = (one for one in tree_leaves(memory) if isinstance(one, Tensor | np.ndarray))
    return any(not sizes.isdisjoint(array.shape) for array in arrays)


def keep_out_of_state(method: nn.Module) -> None:
    """Torch cannot load a buffer that begins as None, so those go the way of other memory."""
    for module in method.modules():
        for name, value in _buffers(module).items():
            if value is None:
                module.register_buffer(name, None, persistent=False)


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(map(_copy, value))
    return value.copy() if isinstance(value, np.ndarray) else value
