"""The runs in a folder: what can be told about each without reading its losses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import is_run, parts
from loss_loggers.text import printable

from ._last_rows import LastRows
from .run_json import shown_info

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Summary:
    """One run, in a line.

    Attributes:
        name: What it is called in the folder where it was looked for, such as "sweep/gan".
        state: "running", "finished", "crashed", "stopped" (its logger was dropped before anybody
            closed it), or "unreadable", where nothing is known but what its last rows tell.
        start: Unix time in seconds.
        last_step: The last step recorded, if any.
        marks: What deserves a look, as far as the last rows tell, such as "G nan".
    """

    path: Path
    name: str = ""
    state: str = "unreadable"
    start: float = 0.0
    losses: tuple[str, ...] = ()
    last_step: int | None = None
    marks: tuple[str, ...] = ()


def as_row(run: Summary) -> dict[str, Any]:
    """A run as plain data."""
    return {
        "name": run.name,
        "state": run.state,
        "start": run.start or None,
        "step": run.last_step,
        "losses": list(run.losses),
        "alerts": list(run.marks),
    }


def find_runs(directory: Path) -> list[Summary]:
    """The runs in a directory, or the one that it is; the newest first."""
    runs = [summarize(folder, directory) for folder in run_folders(directory)]
    return sorted(runs, key=lambda run: run.start, reverse=True)


DEPTH = 6
"""Folders in folders, as a sweep or a launcher makes them; deeper ones are not looked for."""


def run_folders(directory: Path) -> list[Path]:
    """The folders of these runs, in no order. A run holds no others."""
    if not directory.is_dir():
        return []
    found, rest = [], [(directory, 0)]
    while rest:
        folder, depth = rest.pop()
        if _holds_run(folder):
            found.append(folder)
        elif depth < DEPTH:
            rest += [(inner, depth + 1) for inner in _folders_in(folder)]
    return found


def _folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones aside."""
    try:
        with os.scandir(folder) as entries:
            return [folder / one.name for one in entries if one.is_dir() and one.name[0] != "."]
    except OSError:
        return []


def summarize(folder: Path, directory: Path | None = None) -> Summary:
    """What is known of a run; a folder that makes no sense is "unreadable", not an error."""
    name = name_in(folder, directory)
    try:
        return _summary(folder, name)
    except Exception:  # whatever is in there: one odd run never hides the others
        return Summary(folder, name)


def _summary(folder: Path, name: str) -> Summary:
    last, info = LastRows(parts(folder)), shown_info(folder)
    try:
        losses = tuple(loss for loss in info["losses"] if loss.split("/")[-1] != "total")
        marks = tuple(last.marks(losses))
        start = start_of(info)
        return Summary(folder, name, state_of(info), start, losses, last.step, marks)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        losses, marks = tuple(last.losses), tuple(last.marks(last.losses))
        return Summary(folder, name, losses=losses, last_step=last.step, marks=marks)


def name_in(folder: Path, directory: Path | None) -> str:
    """What a run is called in a directory: the way to it."""
    if directory is None or folder == directory:
        return printable(folder.name)
    try:
        return printable(folder.relative_to(directory).as_posix())
    except ValueError:
        return printable(folder.name)


def start_of(info: Mapping[str, Any]) -> float:
    """When a run started, in Unix time.

    Raises:
        ValueError: If that is no time of this world.
    """
    start = float(info["start"])
    if not abs(start) < LAST_SECOND:  # nor nan
        msg = f"start must be a time in seconds, got {start}"
        raise ValueError(msg)
    return start


LAST_SECOND = 2.5e11
"""In the year 9892: what comes later no calendar of Python knows."""


def _holds_run(folder: Path) -> bool:
    try:
        return folder.is_dir() and is_run(folder)
    except OSError:
        return True  # it may: the list shows it as unreadable


def state_of(info: dict[str, object]) -> str:
    """The state, where a run whose process is gone, and said nothing, has crashed."""
    if info["state"] == "running" and _is_gone(info["host"], info["pid"]):
        return "crashed"
    return str(info["state"])


def _is_gone(host: object, pid: object) -> bool:
    """Whether the process has surely ended: on this host, where it can be asked for."""
    import platform

    # On Windows signal 0 is Ctrl-C.
    if os.name == "nt" or host != platform.node() or not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # it lives, and belongs to someone else
    return False
