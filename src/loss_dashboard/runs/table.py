"""The runs as a table: what each line says, how lines are sorted and found."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .summary import Summary

FACTS = ("name", "state", "weighting", "step", "steps_per_second", "start", "tags", "note")
"""What every run has, by the names under which it is sorted."""

LARGEST = 2**53
"""JSON's readers know no larger whole numbers."""


def as_row(run: Summary) -> dict[str, Any]:
    """A run as plain data. What is not finite is a word, for JSON knows no such numbers.

    >>> from pathlib import Path
    >>> from loss_dashboard.runs.summary import Summary
    >>> row = as_row(Summary(Path("runs/gan"), "gan", last={"G": 0.5, "D": float("nan")}))
    >>> row["name"], row["last"], row["step"]
    ('gan', {'G': 0.5, 'D': 'nan'}, None)
    """
    is_known = run.last_step is not None and abs(run.last_step) < LARGEST
    return {
        "name": run.name,
        "state": run.state,
        "start": run.start or None,
        "weighting": run.weighting,
        "step": run.last_step if is_known else None,
        "steps_per_second": run.steps_per_second,
        "losses": list(run.losses),
        "last": _plain(run.last),
        "best": _plain(run.best),
        "numbers": _plain(run.numbers),
        "settings": dict(run.settings),
        "tags": list(run.tags),
        "note": run.note,
        "alerts": list(run.marks),
        "is_read": run.is_read,
    }


def _plain(values: Any) -> dict[str, float | str]:
    return {key: it if isfinite(it) else str(it) for key, it in values.items()}


def text_of(run: Summary) -> str:
    """What a search looks through: name, state, weighting, settings, note, tags and alerts."""
    settings = (f"{key}={value}" for key, value in run.settings.items())
    tags = (f"+{tag}" for tag in run.tags)
    parts = (run.name, run.state, run.weighting, *settings, *tags, run.note, *run.marks)
    return "\n".join(parts).lower()


def found(runs: Iterable[Summary], search: str) -> list[Summary]:
    """The runs whose text has each of these words.

    >>> from pathlib import Path
    >>> from loss_dashboard.runs.summary import Summary
    >>> runs = [Summary(Path(), "gan", tags=("good",)), Summary(Path(), "vae")]
    >>> [run.name for run in found(runs, "A +good")]
    ['gan']
    """
    words = search.lower().split()
    return [run for run in runs if all(word in text_of(run) for word in words)]


def in_order(runs: Iterable[Summary], column: str, *, by_best: bool = False) -> list[Summary]:
    """The runs by a fact, a loss, a number of the user's own or a setting; "-" for descending.

    Runs that have nothing there come last, either way.

    Raises:
        ValueError: If no run has such a column.
    """
    runs = list(runs)
    name = column.removeprefix("-")
    keys = [_key(run, name, by_best=by_best) for run in runs]
    if runs and name not in FACTS and not any(key is not None for key in keys):
        msg = f"sort must be one of {', '.join(_columns(runs))}, got {name!r}"
        raise ValueError(msg)
    known = [(key, place) for place, key in enumerate(keys) if key is not None]
    order = sorted(known, key=lambda one: one[0], reverse=column.startswith("-"))
    rest = [place for place, key in enumerate(keys) if key is None]
    return [runs[place] for place in [*(place for _, place in order), *rest]]


Key = tuple[bool, float, str]


def _key(run: Summary, name: str, *, by_best: bool) -> Key | None:
    """By what a run is sorted; None where it has nothing."""
    if name in FACTS:
        return _sortable(_fact(run, name))
    losses = run.best if by_best else run.last
    for known in (losses, run.numbers, run.settings):
        if name in known:
            return _sortable(known[name])
    return None


def _fact(run: Summary, name: str) -> Any:
    row = as_row(run)
    return " ".join(row[name]) if name == "tags" else row[name]


def _sortable(value: Any) -> Key | None:
    """Numbers come before words; None if there is nothing to sort by.

    >>> _sortable("0.5"), _sortable("adam"), _sortable(float("nan")), _sortable("")
    ((False, 0.5, ''), (True, 0.0, 'adam'), None, None)
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return (True, 0.0, str(value).lower()) if value else None
    return (False, number, "") if number == number and abs(number) < inf else None


def _columns(runs: Iterable[Summary]) -> list[str]:
    own = (name for run in runs for name in (*run.last, *run.numbers, *run.settings))
    return list(dict.fromkeys([*FACTS, *own]))
