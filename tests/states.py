"""Compare what a `state_dict` has, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def plain(state: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of a state as lists; those of a packed state are whole numbers, so none is nan."""
    return {key: value.tolist() for key, value in state.items()}
