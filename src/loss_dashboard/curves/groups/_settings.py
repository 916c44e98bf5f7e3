"""The settings of runs, one key each, by which runs can be told apart."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED = re.compile("(.*[_-])?seed", re.IGNORECASE)
"""Runs that differ in it alone are of one kind."""


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Each setting by its dotted key, as text; seeds left out.

    >>> flat({"weighting": {"method": "CoVWeighting", "decay": None}, "lr": 1.0, "seed": 3})
    {'weighting.method': 'CoVWeighting', 'weighting.decay': 'none', 'lr': '1'}
    """
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif not SEED.fullmatch(name):
            found[prefix + name] = text(value)
    return found


def text(value: object) -> str:
    """A value as it is written beside its key; 1 and 1.0 are the same.

    >>> text(True), text(0.1), text(1.0), text([1, 2]), text("adam")
    ('true', '0.1', '1', '[1, 2]', 'adam')
    """
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    try:
        return json.dumps(value).removesuffix(".0")
    except RecursionError:  # lists in lists, as deep as one likes
        return "…"


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
        return {"": text(settings[key])}
    for name, inner in settings.items():
        if isinstance(inner, dict) and key.startswith(f"{name}."):
            found = setting(inner, key[len(name) + 1 :])
            if found is not None:
                return found
    return None
