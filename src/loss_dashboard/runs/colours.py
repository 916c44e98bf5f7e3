"""The colour of each loss, in `run.json` and on a dark screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import GREY

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOUR = re.compile("#[0-9a-fA-F]{6}")
LUMA = (0.2126, 0.7152, 0.0722)
DARK = 105
"""Colours darker than this, of 255, are hard to read on black."""


def colours_in(info: Mapping[str, Any]) -> dict[str, str]:
    """The colour of each loss; grey where there is no sense in it.

    >>> colours_in({"losses": {"G": "#0072b2", "D": "red"}})
    {'G': '#0072b2', 'D': '#777777'}
    """
    colours = info.get("losses")
    named = colours.items() if isinstance(colours, dict) else ()
    return {name: colour if COLOUR.fullmatch(str(colour)) else GREY for name, colour in named}


def readable(color: str) -> str:
    """A colour of a run, lifted if it is too dark for a dark terminal; a light one takes both.

    >>> readable("#332288"), readable("#d55e00")
    ('#6d61aa', '#d55e00')
    """
    channels = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    light = sum(part * channel for part, channel in zip(LUMA, channels, strict=True))
    lift = max(0.0, (DARK - light) / (255 - light))
    return "#" + "".join(f"{round(channel + (255 - channel) * lift):02x}" for channel in channels)
