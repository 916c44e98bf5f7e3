"""Hyperparameters, as files and backends take them."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from itertools import count
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

TITLE = "loss_weighting"
"""Under which a run keeps them, for it has hyperparameters of its user's too."""

LOSSES = "losses"
"""What groups and trackers call the list of their losses."""


def merge(known: dict[str, Any], new: dict[str, Any]) -> None:
    """Add new ones to those known: a setting is replaced, whole, and the list of the losses grows.

    >>> known = {"losses": ["G"], "layers": [64, 64], "optimizer": {"name": "adam", "beta": 0.9}}
    >>> merge(known, {"losses": ["D"], "layers": [128], "optimizer": {"name": "sgd"}})
    >>> known
    {'losses': ['G', 'D'], 'layers': [128], 'optimizer': {'name': 'sgd'}}
    """
    for key, value in plain(new).items():
        old = known.get(key)
        if key == LOSSES and isinstance(old, list) and isinstance(value, list):
            known[key] = [*old, *(one for one in value if one not in old)]
        else:
            known[key] = value


def plain(value: Any) -> Any:
    """The value as JSON knows it: JSON has no infinity, and a page that reads it would choke.

    Mappings and lists of any kind are taken, such as those of a configuration by Hydra.

    >>> import numpy as np
    >>> plain({"seed": np.uint64(2**63), "nesterov": np.True_, "layers": (64, np.int64(32))})
    {'seed': 9223372036854775808, 'nesterov': True, 'layers': [64, 32]}
    """
    try:
        if isinstance(value, Mapping):
            return {str(key): plain(inner) for key, inner in value.items()}
        if isinstance(value, MutableSequence | tuple | set | frozenset):
            is_bytes = isinstance(value, bytearray)
            return _text(value) if is_bytes else [plain(inner) for inner in value]
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        is_scalar = getattr(value, "ndim", None) == 0 and kind not in ("m", "M")  # times stay text
        number = value.item() if is_scalar else value
    except Exception:  # every library raises another one, such as Hydra for a value that is missing
        number = _text(value)
    if isinstance(number, float):
        return float(number) if isfinite(number) else str(float(number))
    return number if number is None or isinstance(number, bool | int | str) else _text(number)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # it is somebody else's class
        return type(value).__name__


def flat(hyperparams: dict[str, Any], title: str = TITLE) -> dict[str, str | float]:
    """One level of names, for a backend that knows no other.

    >>> flat({"losses": ["G", "D"], "weighting": {"method": "CoVWeighting"}}, "ours")
    {'ours/losses/1': 'G', 'ours/losses/2': 'D', 'ours/weighting/method': 'CoVWeighting'}
    >>> flat({"a": {"b": 1}, "a/b": 2}, "ours")
    {'ours/a/b': 1, 'ours/a/b_2': 2}
    """
    pairs: dict[str, str | float] = {}
    for key, value in plain(hyperparams).items():
        name = f"{title}/{key}"
        if isinstance(value, list):
            # A list that grows, such as that of the losses, changes nothing that was said before.
            value = dict(enumerate(value, 1))
        inner = flat(value, name) if isinstance(value, dict) else {name: value}
        pairs |= {_free(name, pairs): value for name, value in inner.items()}
    return pairs


def _free(name: str, taken: Container[str]) -> str:
    """The name, with a number where `{"a/b": 1, "a": {"b": 2}}` has it twice."""
    numbered = (f"{name}_{number}" for number in count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)
