"""What `run.json` says of a run: anybody may have written into it, too."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any

from loss_loggers import is_validation
from loss_loggers.recording import run_info
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeGuard


LAST_SECOND = 2.5e11
"""In the year 9892: what comes later no calendar of Python knows."""


def shown_info(folder: Path) -> dict[str, Any]:
    """What `run.json` says, as it may be shown: what could command a terminal is escaped.

    A fact that is not of its kind, as a time that is a text, is left out: it hides no other.
    """
    try:
        info: dict[str, Any] = _shown(run_info(folder))
    except RecursionError:
        return {}
    return {key: value for key, value in info.items() if key not in KINDS or KINDS[key](value)}


def _is_time(value: object) -> bool:
    """Whether it is a moment in Unix time at which a run may have been recorded; NaN is none."""
    return _is_number(value) and 0 <= value < LAST_SECOND


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_process(value: object) -> bool:
    """Whether a process may have this id: 0 and less stand for many of them."""
    return _is_number(value) and isinstance(value, int) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


KINDS: dict[str, Callable[[object], bool]] = {
    "state": _is_text,
    "host": _is_text,
    "pid": _is_process,
    "start": _is_time,
    "end": _is_time,
}
"""Whether a fact is of its kind; the others are checked where they are read."""


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(key): _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def resumptions(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where a run was resumed or went back, in the order in which it was noted."""
    noted = info.get("resumed")
    return [place for place in noted if isinstance(place, dict)] if isinstance(noted, list) else []


def resumed_at(info: Mapping[str, Any]) -> float:
    """When a run was last resumed; minus infinity for never.

    >>> resumed_at({"resumed": [{"time": 5.0}, {"time": "soon"}]}), resumed_at({"resumed": 5})
    (5.0, -inf)
    """
    times = (place.get("time") for place in resumptions(info))
    return max((float(time) for time in times if _is_number(time) and _is_time(time)), default=-inf)


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


def followed_in(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """The losses of a validation, each with that of the training beside which it stands.

    A group of its own has a scope, which is what it calls its weighting by. Its losses are those of
    a validation if they are called as those of a group without one, or if its scope is called so:
    `gan/val` then stands beside `gan`.
    Losses that no group has told of, since somebody logs them by hand, are if they are called so.
    One that the training does not have stands for itself.

    >>> followed_in({"weighting": {}, "val/weighting": {}}, ["kl", "val/kl", "head/kl"])
    {'val/kl': 'kl'}
    >>> followed_in({"weighting": {}, "losses": ["kl", "val/kl"]}, ["kl", "val/kl", "test/kl"])
    {'test/kl': 'kl'}
    >>> followed_in({"weighting": {}, "val/weighting": {}}, ["kl", "val/error"])
    {'val/error': 'val/error'}
    >>> scopes = ["critic", "gan", "gan/val"]
    >>> settings = {f"{scope}/weighting": {} for scope in scopes}
    >>> followed_in(settings, [f"{scope}/kl" for scope in scopes])
    {'gan/val/kl': 'gan/kl'}
    """
    weighings = [key for key in settings if key.rpartition("/")[2] == "weighting"]
    scopes = {key.rpartition("/")[0]: None for key in weighings if "/" in key}
    told = [settings.get(f"{key.removesuffix('weighting')}losses") for key in weighings]
    by_hand = [name for name in names if not any(name in own for own in told if type(own) is list)]
    by_scope = dict.fromkeys(scopes, names)
    prefixes = {name.partition("/")[0] for name in by_hand}
    prefixes |= {name.rpartition("/")[0] for name in by_hand}
    for scope in sorted(filter(is_validation, prefixes - {*scopes})):
        by_scope[scope] = by_hand
    known = dict.fromkeys(names)
    return {
        name: loss
        for scope, own in by_scope.items()
        for name in own
        if name.startswith(f"{scope}/")
        if (loss := _training_loss(scope, name[len(scope) + 1 :], known, by_scope)) is not None
    }


def _training_loss(
    scope: str, own: str, known: Mapping[str, object], scopes: Iterable[str]
) -> str | None:
    """What a loss of a scope stands beside; None if it is one of the training."""
    beside = f"{scope.rpartition('/')[0]}/{own}"
    if beside in known and is_validation(scope):
        return beside
    if own in known:
        return own
    if not is_validation(scope):
        return None
    others = (f"{other}/{own}" for other in scopes if not is_validation(other))
    return next((name for name in others if name in known), f"{scope}/{own}")


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
