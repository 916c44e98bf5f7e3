"""What `run.json` says of a run: a user may have written into it, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import GREY

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOUR = re.compile("#[0-9a-fA-F]{6}")


def colours_in(info: Mapping[str, Any]) -> dict[str, str]:
    """The colour of each loss; grey where there is no sense in it.

    >>> colours_in({"losses": {"G": "#0072b2", "D": "red"}})
    {'G': '#0072b2', 'D': '#777777'}
    """
    colours = info.get("losses")
    named = colours.items() if isinstance(colours, dict) else ()
    return {name: colour if COLOUR.fullmatch(str(colour)) else GREY for name, colour in named}


def settings_in(info: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the losses and their weighting, among those of the user."""
    settings = info.get("hyperparameters")
    return settings if isinstance(settings, dict) else {}


def method_in(settings: Mapping[str, Any], key: str = "weighting") -> str:
    """The weighting method; empty where none is known.

    >>> method_in({"weighting": {"method": "CoVWeighting", "decay": 0.9}})
    'CoVWeighting'
    >>> method_in({"weighting": "mine"})  # as a user's own settings may have it
    'mine'
    """
    weighting = settings.get(key)
    method = weighting.get("method") if isinstance(weighting, dict) else weighting
    return method if isinstance(method, str) else ""
