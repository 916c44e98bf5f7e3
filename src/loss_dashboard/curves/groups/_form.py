"""Which runs belong together: those that have the same value of a setting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_dashboard.runs.unique_names import unique_name
from loss_loggers.recording import new_colour

from ._settings import flat, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METHOD = "weighting.method"
"""By which most runs are told apart."""

PLAIN = ("", "method")
"""Keys whose values tell what they are of."""


class Group(NamedTuple):
    """Runs that belong together.

    Attributes:
        name: What they have in common; the name of the run where it is alone without the setting.
        colour: Of its lines, where several groups are compared.
        members: Which of the runs they are.
        is_single: Whether it is a run without the setting.
    """

    name: str
    colour: str
    members: tuple[int, ...]
    is_single: bool = False


def form_groups(
    names: Sequence[str], settings: Sequence[Mapping[str, Any]], key: str
) -> list[Group]:
    """The groups of runs, by name, so that each has its colour wherever it is shown.

    Runs without the setting stay single, and come last.

    Args:
        names: What each run is called.
        settings: The settings of each.
        key: A dotted key of them, such as "weighting.method", or the beginning of several, such as
            "weighting"; with an empty one all runs are a group.

    >>> cov, sum_ = ({"weighting": {"method": method}} for method in ("CoVWeighting", "PlainSum"))
    >>> groups = form_groups("abcd", [cov, sum_, {}, cov], "weighting.method")
    >>> [(group.name, group.members, group.is_single) for group in groups]
    [('CoVWeighting', (0, 3), False), ('PlainSum', (1,), False), ('c', (2,), True)]
    """
    own = [setting(each, key) if key else {} for each in settings]
    together: dict[object, list[int]] = {}
    for run, value in enumerate(own):
        what = run if value is None else tuple(sorted(value.items()))
        together.setdefault(what, []).append(run)
    known = [value for value in own if value is not None]
    found = []
    for members in together.values():
        value = own[members[0]]
        name = names[members[0]] if value is None else _name(value, known)
        found.append(Group(name, "", tuple(members), value is None))
    groups: list[Group] = []
    for group in sorted(found, key=lambda group: (group.is_single, by_number(group.name))):
        name = unique_name(group.name, [one.name for one in groups])
        colour = new_colour("", [one.colour for one in groups])
        groups.append(group._replace(name=name, colour=colour))
    return groups


def by_number(name: str) -> list[tuple[float, str]]:
    """So that 0.01 comes after 0.009, and layer 10 after layer 9.

    >>> sorted(["0.01", "layer 10", "layer 9", "0.009"], key=by_number)
    ['0.009', '0.01', 'layer 9', 'layer 10']
    """
    parts = re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", name)
    return [(float(part), "") if at % 2 else (0.0, part) for at, part in enumerate(parts)]


def keys_to_group_by(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which runs differ, their weighting first, if they have one.

    >>> keys_to_group_by([{"lr": 0.1, "steps": 9}, {"lr": 0.2, "steps": 9, "seed": 3}])
    ['lr']
    """
    each = [flat({**own, "losses": {}}) for own in settings]
    keys = dict.fromkeys(key for own in each for key in own)
    differing = [key for key in keys if len({own.get(key) for own in each}) > 1]
    first = [METHOD] if METHOD in keys else []
    return list(dict.fromkeys([*first, *differing]))


def about_key(groups: Sequence[Group], settings: Sequence[Mapping[str, Any]], key: str) -> str:
    """A sentence if no run has the setting, as where it is mistyped.

    >>> about_key([Group("a", "", (0,), is_single=True)], [{"lr": 1}, {"lr": 2}], "r")
    'No run has the setting r, so each stays single; they differ in lr.'
    """
    if not groups or not all(group.is_single for group in groups):
        return ""
    keys = keys_to_group_by(settings)
    differ = f"; they differ in {', '.join(keys[:8])}" if keys else ""
    return f"No run has the setting {key}, so each stays single{differ}."


def _name(value: dict[str, str], all_of_them: Sequence[dict[str, str]]) -> str:
    """The value; of several settings the method, and those in which the groups differ."""
    if not value:
        return "all runs"
    differs = {key for key in value if any(one.get(key) != value[key] for one in all_of_them)}
    named = [key for key in value if key in PLAIN]  # what needs no name of its own
    others = [key for key in value if key not in PLAIN and key in differs]
    told = [*(value[key] for key in named), *(f"{key} {value[key]}" for key in others)]
    return ", ".join(told) or ", ".join(f"{key} {it}" for key, it in value.items())
