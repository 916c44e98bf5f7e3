"""The settings of runs, one key each, by which runs can be told apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from loss_dashboard.runs.run_json import flat_settings, setting_text

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED = re.compile("(.*[_-])?seed", re.IGNORECASE)
"""Runs that differ in it alone are of one kind."""


def flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each setting by its dotted key, as text; seeds left out.

    >>> flat({"weighting": {"method": "CoVWeighting", "decay": None}, "lr": 1.0, "seed": 3})
    {'weighting.method': 'CoVWeighting', 'weighting.decay': 'none', 'lr': '1'}
    """
    known = flat_settings(settings).items()
    return {key: text for key, text in known if not SEED.fullmatch(key.rpartition(".")[2])}


def setting(settings: Mapping[str, Any], key: str) -> dict[str, str] | None:
    """What a run has under a dotted key; all of it where that holds several; None for nothing.

    A seed is left out of what holds it, but may be asked for by its own key.

    >>> settings = {"weighting": {"method": "CoVWeighting", "decay": 0.9}, "seed": 3}
    >>> setting(settings, "weighting.method"), setting(settings, "weighting"), setting({}, "lr")
    ({'': 'CoVWeighting'}, {'method': 'CoVWeighting', 'decay': '0.9'}, None)
    >>> setting(settings, "seed")
    {'': '3'}
    """
    if isinstance(settings.get(key), dict):
        return flat(settings[key]) or None
    if key in settings:
        return {"": setting_text(settings[key])}
    for name, inner in settings.items():
        if isinstance(inner, dict) and key.startswith(f"{name}."):
            found = setting(inner, key[len(name) + 1 :])
            if found is not None:
                return found
    return None
