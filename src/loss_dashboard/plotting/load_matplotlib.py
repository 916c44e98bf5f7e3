"""Two ways to load matplotlib."""

from __future__ import annotations


def load() -> None:
    """As everybody does."""
    import matplotlib.figure  # noqa: F401


def load_without_help() -> None:
    """In three quarters of the time, for a program that does nothing but draw.

    While it loads, matplotlib writes for each of its classes what can be set, for `help` to show.
    """
    from matplotlib import artist

    kwdoc = artist.kwdoc
    artist.kwdoc = _nothing
    try:
        load()
    finally:
        artist.kwdoc = kwdoc


def _nothing(artist: object) -> str:  # noqa: ARG001
    return ""
