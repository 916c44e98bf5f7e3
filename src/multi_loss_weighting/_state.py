"""Check a saved state before any of it is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

State = dict[str, Any]
"""Dicts, lists, numbers and strings: what `torch.load(weights_only=True)` and JSON take."""


_MAY_BE_NONE = ("first_nonfinite_step", "last_nonfinite_step")


def check_state(own: Any, saved: Any, where: str) -> None:
    """Raise a ValueError unless `saved` has the shape of `own`.

    Shape means the same keys all the way down, and numbers where there are numbers. The lengths
    of lists may differ.

    >>> check_state({"count": 3}, {"count": 4}, "the state of tracker 'G'")
    >>> check_state({"count": 3}, {"mean": 4}, "the state of tracker 'G'")
    Traceback (most recent call last):
        ...
    ValueError: the state of tracker 'G' needs the keys count; got mean
    """
    if isinstance(own, Mapping):
        if not isinstance(saved, Mapping) or set(own) != set(saved):
            keys = ", ".join(map(str, own)) or "(none)"
            got = ", ".join(map(str, saved)) if isinstance(saved, Mapping) else repr(saved)
            msg = f"{where} needs the keys {keys}; got {got or '(none)'}"
            raise ValueError(msg)
        for key, value in own.items():
            if saved[key] is not None or key not in _MAY_BE_NONE:
                check_state(value, saved[key], f"{where.removesuffix(',')}, {key!r},")
    elif not _same_kind(own, saved):
        msg = f"{where} needs {_kind(own)}; got {saved!r}"
        raise ValueError(msg)


def _same_kind(own: Any, saved: Any) -> bool:
    if isinstance(own, list):
        return isinstance(saved, list) and all(isinstance(item, int | float) for item in saved)
    if own is None or isinstance(own, int | float):
        return isinstance(saved, int | float)
    return isinstance(saved, type(own))


def _kind(own: Any) -> str:
    return "a list of numbers" if isinstance(own, list) else "a number"
