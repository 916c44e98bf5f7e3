"""A colour for each loss, kept for the life of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PALETTE = (
    "#0072b2",  # blue
    "#d55e00",  # vermilion
    "#009e73",  # green
    "#cc79a7",  # pink
    "#e69f00",  # orange
    "#56b4e9",  # sky
    "#882255",  # wine
    "#999933",  # olive
    "#332288",  # indigo
    "#44aa99",  # teal
)
"""Okabe and Ito's colours, then Paul Tol's: told apart with any kind of colour vision."""

GREY = "#777777"


def new_colour(name: str, taken: Iterable[str]) -> str:
    """The next colour of the palette; a total is not a loss of its own, so it is grey.

    >>> new_colour("G", [])
    '#0072b2'
    >>> new_colour("val/total", ["#0072b2"])
    '#777777'
    """
    if name.rpartition("/")[2] == "total":
        return GREY
    return PALETTE[sum(colour != GREY for colour in taken) % len(PALETTE)]
