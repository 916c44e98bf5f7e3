"""What `run.json` says of a run: a user may have written into it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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
