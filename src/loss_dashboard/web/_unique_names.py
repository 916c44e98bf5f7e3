"""Names that tell runs apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def unique_name(name: str, taken: Iterable[str]) -> str:
    """A name that none of the others has: where two are the same, the later one gets a number.

    >>> unique_name("gan", []), unique_name("gan", ["gan", "gan (2)"])
    ('gan', 'gan (3)')
    """
    key, number = name, 2
    while key in taken:
        key, number = f"{name} ({number})", number + 1
    return key
