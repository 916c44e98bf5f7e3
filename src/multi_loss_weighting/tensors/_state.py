"""One tensor for all the numbers of a state.

A library that saves a model expects tensors of fixed shape from `state_dict()`. So a state is
written as bytes, six of them to a float64: whole numbers below 2**48, which no copy rounds, which
are never nan, and in which a cast or an average is noticed.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

State = dict[str, Any]
"""Dicts, lists, numbers and strings: what `torch.load(weights_only=True)` and JSON take."""


class UnreadableStateError(ValueError):
    """A saved state was cast, averaged or cut."""


_MAGIC = b"losses"
_FORMAT = 1
_BYTES = 6  # in each float64, which holds whole numbers up to 2**53 exactly
_HEADER = 4 * _BYTES
_SCALAR = 18  # bytes for each None, bool, int and float: enough for a 128-bit generator state
_CHANGED = "was averaged or otherwise changed"
WAY_OUT = (
    "save and load values whose key ends in '_extra_state' as state_dict() gives them, neither"
    " cast nor averaged; or remove that key and load with strict=False, to begin anew"
)
"""For the state of a module."""


def pack(value: Any) -> Tensor:
    """The value as one float64 tensor on the CPU, from which `unpack` reads it bit for bit.

    Its length depends on the keys, strings, shapes and dtypes in the value, and not on numbers:
    None, a bool, an int and a float all take the same place.

    Args:
        value: None, a bool, a number, a string, a numpy array, a tensor, or a dict, list or tuple
            of such, however deep.

    Returns:
        A tensor [N] of its own memory.

    Raises:
        TypeError: If the value holds something else.
        ValueError: If it holds an int of more than 143 bits.

    >>> state = pack({"step": 3, "mean": [0.1, float("nan")]})
    >>> state.dtype, unpack(state)
    (torch.float64, {'step': 3, 'mean': [0.1, nan]})
    """
    data: list[bytes] = []
    described = _describe(value, "the state", data)
    structure = json.dumps(described, separators=(",", ":")).encode()
    payload = b"".join([_number(len(structure)), structure, *data])
    header = (_number(_FORMAT), _number(len(payload)), _number(zlib.crc32(payload)))
    return _as_tensor(b"".join([_MAGIC, *header, payload]))


def unpack(packed: Tensor, way_out: str = WAY_OUT) -> Any:
    """The value that `pack` was given; tensors come back on the CPU.

    Args:
        packed: A tensor [N] from `pack`, on any device.
        way_out: What an error advises.

    Raises:
        UnreadableStateError: If it is no such tensor, or was cast, averaged or cut.

    >>> unpack(pack({"step": 3}).half())
    Traceback (most recent call last):
        ...
    multi_loss_weighting.tensors._state.UnreadableStateError: the saved state of the losses was \
cast to torch.float16: save and load values whose key ends in '_extra_state' as state_dict() gives \
them, neither cast nor averaged; or remove that key and load with strict=False, to begin anew
    """
    try:
        payload = _checked_payload(packed)
    except UnreadableStateError as error:
        msg = f"the saved state of the losses {error}: {way_out}"
        raise UnreadableStateError(msg) from error.__cause__
    start = _BYTES + int.from_bytes(payload[:_BYTES], "little")
    return _restore(json.loads(payload[_BYTES:start]), io.BytesIO(payload[start:]))


# Bytes and tensors.


def _number(value: int) -> bytes:
    return value.to_bytes(_BYTES, "little")


def _as_tensor(data: bytes) -> Tensor:
    padded = data + bytes(-len(data) % _BYTES)
    wide = np.zeros((len(padded) // _BYTES, 8), np.uint8)
    wide[:, :_BYTES] = np.frombuffer(padded, np.uint8).reshape(-1, _BYTES)
    # Unlike torch.tensor, from_numpy passes over the default dtype and device.
    return torch.from_numpy(wide.view("<u8")[:, 0].astype(np.float64))


def _checked_payload(packed: Tensor) -> bytes:
    data = _as_bytes(packed)
    head = [data[at : at + _BYTES] for at in range(0, _HEADER, _BYTES)]
    version, length, checksum = (int.from_bytes(number, "little") for number in head[1:])
    expected = _HEADER + length + -length % _BYTES
    if head[0] != _MAGIC:
        _raise_unreadable(_CHANGED)
    if len(data) != expected:
        _raise_unreadable(f"was cut to {len(data) // _BYTES} numbers")
    if version != _FORMAT:
        _raise_unreadable(f"has format {version}, and this version reads {_FORMAT}")
    payload = data[_HEADER : _HEADER + length]
    if zlib.crc32(payload) != checksum:
        _raise_unreadable(_CHANGED)
    return payload


def _as_bytes(packed: Tensor) -> bytes:
    if not isinstance(packed, Tensor):
        _raise_unreadable(f"must be a tensor, got {type(packed).__name__}")
    if packed.dtype != torch.float64:
        _raise_unreadable(f"was cast to {packed.dtype}")
    try:
        numbers = np.rint(packed.detach().cpu().reshape(-1).numpy())
    except RuntimeError as error:  # on "meta", or a fake tensor
        _raise_unreadable(f"has no numbers on {packed.device}", error)
    if not ((numbers >= 0) & (numbers < 256.0**_BYTES)).all():
        _raise_unreadable(_CHANGED)
    return bytes(numbers.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_BYTES].tobytes())


def _raise_unreadable(what: str, cause: Exception | None = None) -> NoReturn:
    raise UnreadableStateError(what) from cause


# Structure: a letter for each scalar, a list for all else.


def _describe(value: Any, where: str, data: list[bytes]) -> Any:
    """The structure of a value, in JSON's types; its numbers go to the end of `data`."""
    if value is None or isinstance(value, bool | int | float):
        return _describe_scalar(value, where, data)
    if isinstance(value, str):
        return ["str", str(value)]
    if isinstance(value, Mapping):
        keys = [_checked_key(key, where) for key in value]
        return ["dict", keys, *(_describe(value[k], f"{where}[{k!r}]", data) for k in value)]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, *(_describe(v, f"{where}[{i}]", data) for i, v in enumerate(value))]
    return _describe_array(value, where, data)


def _describe_scalar(value: float | None, where: str, data: list[bytes]) -> str:
    if isinstance(value, float):
        data.append(struct.pack("<d", value) + bytes(_SCALAR - 8))
        return "f"
    number = int(value or 0)
    if number.bit_length() >= 8 * _SCALAR:
        msg = f"{where} must be an int of at most 143 bits, got one of {number.bit_length()}"
        raise ValueError(msg)
    data.append(number.to_bytes(_SCALAR, "little", signed=True))
    return "n" if value is None else "b" if isinstance(value, bool) else "i"


def _checked_key(key: Any, where: str) -> Any:
    if key is None or isinstance(key, str | bool | int | float):
        return key
    msg = f"{where} must have keys that are strings or numbers, got {key!r}"
    raise TypeError(msg)


def _describe_array(value: Any, where: str, data: list[bytes]) -> Any:
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        own = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        flat = own.reshape(-1)
        data.append(flat.view(torch.uint8).numpy().tobytes())
        return ["torch", str(value.dtype).removeprefix("torch."), list(value.shape)]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        data.append(value.tobytes())
        kind = "numpy" if isinstance(value, np.ndarray) else "numpy scalar"
        return [kind, value.dtype.str, list(value.shape)]
    msg = (
        f"{where} must be None, a bool, a number, a string, a numpy array, a dense tensor, or a"
        f" dict, list or tuple of such; got {type(value).__name__}"
    )
    raise TypeError(msg)


def _restore(described: Any, data: io.BytesIO) -> Any:
    if isinstance(described, str):
        return _restore_scalar(described, data.read(_SCALAR))
    kind, *content = described
    if kind == "str":
        return content[0]
    if kind == "dict":
        return {key: _restore(v, data) for key, v in zip(content[0], content[1:], strict=True)}
    if kind in ("list", "tuple"):
        items = [_restore(item, data) for item in content]
        return items if kind == "list" else tuple(items)
    dtype, shape = content
    return _restore_array(kind, dtype, shape, data)


def _restore_scalar(kind: str, data: bytes) -> float | None:
    if kind == "f":
        return float(struct.unpack("<d", data[:8])[0])
    number = int.from_bytes(data, "little", signed=True)
    return None if kind == "n" else bool(number) if kind == "b" else number


def _restore_array(kind: str, dtype: str, shape: list[int], data: io.BytesIO) -> Any:
    if kind == "torch":
        tensor = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu")
        content = data.read(tensor.numel() * tensor.itemsize)
        if content:
            tensor = torch.frombuffer(bytearray(content), dtype=tensor.dtype).reshape(shape)
        return tensor
    own = np.dtype(dtype)
    content = data.read(math.prod(shape) * own.itemsize)
    array = np.frombuffer(content, own).reshape(shape).copy()
    return array if kind == "numpy" else array[()]
