"""What `run.json` says of a run: anybody may have written into it, too."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import run_info
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def shown_info(folder: Path) -> dict[str, Any]:
    """What `run.json` says, as it may be shown: what could command a terminal is escaped."""
    try:
        info: dict[str, Any] = _shown(run_info(folder))
    except RecursionError:
        return {}
    return info


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(key): _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


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


def limit_in(settings: Mapping[str, Any], loss: str) -> float:
    """The `max_loss` of a loss, as a group or a tracker records it; infinite where there is none.

    >>> limit_in({"max_loss": {"G": 5.0}}, "G"), limit_in({"G": {"max_loss": 5.0}}, "G")
    (5.0, 5.0)
    >>> limit_in({"val/max_loss": {"G": 5.0}}, "val/G"), limit_in({"max_loss": "mine"}, "G")
    (5.0, inf)
    """
    scopes = [key.removesuffix("max_loss") for key in settings if key.endswith("max_loss")]
    limits = [(settings[f"{scope}max_loss"], loss[len(scope) :]) for scope in scopes]
    known = [own.get(name) for own, name in limits if isinstance(own, dict)]
    tracker = settings.get(loss)
    known += [tracker.get("max_loss")] if isinstance(tracker, dict) else []
    return next((float(limit) for limit in known if isinstance(limit, float | int)), inf)


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings on one level, as text, without the names of the losses.

    >>> flat_settings({"losses": ["G"], "lr": 0.1, "weighting": {"method": "CoVWeighting"}})
    {'lr': '0.1', 'weighting.method': 'CoVWeighting'}
    """
    found: dict[str, str] = {}
    for key, value in settings.items():
        if key == "losses" and not prefix and isinstance(value, list):
            continue
        if isinstance(value, dict):
            found |= flat_settings(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = setting_text(value)
    return found


def setting_text(value: object) -> str:
    """A setting as it is shown; 1 and 1.0 are the same.

    >>> setting_text(None), setting_text(True), setting_text([64, 64]), setting_text(2.0)
    ('none', 'true', '[64, 64]', '2')
    """
    if isinstance(value, str):
        return value
    try:
        return "none" if value is None else json.dumps(value).removesuffix(".0")
    except RecursionError:  # lists in lists, as deep as one likes
        return "…"
