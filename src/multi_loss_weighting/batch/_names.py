"""Names of losses, and settings by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from loss_loggers.arguments import checked


def checked_name(name: str, what: str = "the name of a loss") -> str:
    """`name` as a plain str, if it can stand in a row."""
    if not isinstance(name, str):
        msg = f"{what} must be a str, got {name!r}"
        raise TypeError(msg)
    if not name or not name.isprintable():
        msg = f"{what} must be one line of printable characters, got {name!r}"
        raise ValueError(msg)
    return str.__str__(name)  # a member of an Enum is shown as something else


def checked_names(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as a tuple, if each can name a loss and none comes twice."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        kind = "the one str " if isinstance(names, str) else ""
        msg = f"names must be a list of str, got {kind}{names!r}"
        raise TypeError(msg)
    listed = tuple(checked_name(name) for name in names)
    if not listed or len(set(listed)) < len(listed):
        msg = f"names must be one or more, each different, got {list(listed)}"
        raise ValueError(msg)
    return listed


def by_name(setting: Any, names: tuple[str, ...], key: str) -> dict[str, Any]:
    """A setting for each loss: one for all, or a dict by name, which may leave some out."""
    if not isinstance(setting, Mapping):
        return dict.fromkeys(names, setting)
    if set(setting) - set(names):
        got = ", ".join(map(str, setting))
        msg = f"{key} must name losses among {', '.join(names)}, got {got}"
        raise ValueError(msg)
    return dict(setting)


def checked_max_loss(max_loss: float, name: str) -> float:
    """`max_loss` itself, if a loss can be scaled down to it."""
    where = f" (loss {name!r})"
    return float(checked(max_loss, lambda limit: limit > 0, "max_loss", "positive", where))
