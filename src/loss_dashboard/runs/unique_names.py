"""Names that tell runs apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def unique_name(name: str, taken: Iterable[str]) -> str:
    """A name that none of the others has: where two are the same, the later one gets a number.

    >>> unique_name("gan", []), unique_name("gan", ["gan", "gan (2)"])
    ('gan', 'gan (3)')
    """
    key, number = name, 2
    while key in taken:
        key, number = f"{name} ({number})", number + 1
    return key


def keys_of(paths: Sequence[Path]) -> list[str]:
    """The names of the runs, with the folder that they are in where that tells them apart.

    >>> from pathlib import Path
    >>> keys_of([Path("/home/a/gan"), Path("/home/b/gan")]), keys_of([Path("/a/b/gan"), Path("/c")])
    (['a/gan', 'b/gan'], ['gan', 'c'])
    """
    names = [printable(path.name) for path in paths]
    if len({*names}) < len(names):
        names = [printable("/".join(path.parts[-2:])) for path in paths]
    keys: dict[str, None] = {}
    for name in names:
        keys[unique_name(name, keys)] = None
    return list(keys)
