"""The runs in a folder: what can be told about each without reading its losses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loss_loggers.recording import is_run, parts, run_info

from ._last_rows import LastRows

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Summary:
    """One run, in a line.

    Attributes:
        state: "running", "finished", "crashed", or "unreadable", where nothing is known but what
            its last rows tell.
        start: Unix time in seconds.
        last_step: The last step recorded, if any.
        marks: What deserves a look, as far as the last rows tell, such as "G nan".
    """

    path: Path
    state: str = "unreadable"
    start: float = 0.0
    losses: tuple[str, ...] = ()
    last_step: int | None = None
    marks: tuple[str, ...] = ()


def find_runs(directory: Path) -> list[Summary]:
    """The runs in a directory, or the one that it is; the newest first."""
    runs = map(summarize, run_folders(directory))
    return sorted(runs, key=lambda run: run.start, reverse=True)


def run_folders(directory: Path) -> list[Path]:
    """The folders of these runs, in no order."""
    if not directory.is_dir():
        return []
    return [directory] if _holds_run(directory) else [*filter(_holds_run, directory.iterdir())]


def summarize(folder: Path) -> Summary:
    """What is known of a run; a folder that makes no sense is "unreadable", not an error."""
    try:
        last = LastRows(parts(folder))
    except OSError:
        return Summary(folder)
    info = run_info(folder)
    try:
        losses = tuple(name for name in info["losses"] if name.split("/")[-1] != "total")
        marks = tuple(last.marks(losses))
        return Summary(folder, state_of(info), float(info["start"]), losses, last.step, marks)
    except (AttributeError, KeyError, TypeError, ValueError):
        losses, marks = tuple(last.losses), tuple(last.marks(last.losses))
        return Summary(folder, losses=losses, last_step=last.step, marks=marks)


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
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it lives, and belongs to someone else
    return False
