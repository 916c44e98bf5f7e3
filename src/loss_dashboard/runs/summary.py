"""The runs in a folder: what can be told about each without reading its losses."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loss_loggers.alerts import is_total
from loss_loggers.recording import is_abandoned, is_run, parts
from loss_loggers.text import printable

from ._last_rows import LastRows
from .colours import colours_in
from .notes import read_notes
from .run_json import flat_settings, method_in, resumed_at, settings_in, shown_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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
        weighting: The method, as far as it is recorded.
        settings: The hyperparameters, on one level and as text.
        note: What the user wrote about it.
        tags: What the user called it.
        steps_per_second: The pace of the last steps; None where there are not two.
        last: The last value of each loss and total, as far as it was read.
        best: The smallest finite value of each, of all rows; empty until they were read.
        numbers: The last value of each of the user's own numbers, once all rows were read.
        is_read: Whether all rows were read, and not the last ones alone.
    """

    path: Path
    name: str = ""
    state: str = "unreadable"
    start: float = 0.0
    losses: tuple[str, ...] = ()
    last_step: int | None = None
    marks: tuple[str, ...] = ()
    weighting: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    tags: tuple[str, ...] = ()
    steps_per_second: float | None = None
    last: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    is_read: bool = False


def find_runs(directory: Path) -> list[Summary]:
    """The runs in a directory, or the one that it is; the newest first."""
    return newest_first(summarize(folder, directory) for folder in run_folders(directory))


def newest_first(runs: Iterable[Summary]) -> list[Summary]:
    """The runs, by when they began."""
    return sorted(runs, key=lambda run: run.start, reverse=True)


DEPTH = 6
"""Folders in folders, as a sweep or a launcher makes them; deeper ones are not looked for."""


def run_folders(directory: Path) -> list[Path]:
    """The folders of these runs, in no order; a run may hold others, as of its validation.

    Wherever links lead, each folder is there once, and by its own name if it lies in the directory.
    """
    if not directory.is_dir():
        return []
    found, start = [], os.path.realpath(directory)
    rest = deque([(directory, start, 0)])
    seen = {*map(str, Path(start).parents)}  # these are no part of it
    while rest:
        folder, real, depth = rest.pop()
        if real in seen:
            continue
        seen.add(real)
        may_be_run, folders = _look_into(folder)
        if may_be_run and _holds_run(folder):
            found.append(folder)
            depth = max(depth, DEPTH - 2)  # its checkpoints and the like may be many
        for entry in folders if depth < DEPTH else ():
            path = folder / entry.name
            if entry.is_symlink():  # links wait until nothing else is left
                rest.appendleft((path, os.path.realpath(path), depth + 1))
            else:
                rest.append((path, f"{real}{os.sep}{entry.name}", depth + 1))
    return found


def _look_into(folder: Path) -> tuple[bool, list[os.DirEntry[str]]]:
    """Whether a folder may be a run, by the names in it, and the folders there, hidden ones aside.

    To ask for each file of a run would take most of the time of a list.
    """
    may_be_run, folders = False, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                may_be_run |= entry.name.startswith(("run.json", "losses"))
                if entry.name[0] != "." and _is_folder(entry):
                    folders.append(entry)
    except OSError:  # it may not be listed, and be a run all the same
        return True, folders
    return may_be_run, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # such as of a loop of links
        return entry.is_dir()
    return False


def summarize(folder: Path, directory: Path | None = None) -> Summary:
    """What is known of a run; a folder that makes no sense is "unreadable", not an error."""
    name = name_in(folder, directory)
    try:
        return _summary(folder, name)
    except Exception:  # whatever is in there: one odd run never hides the others
        return Summary(folder, name)


def _summary(folder: Path, name: str) -> Summary:
    info, (note, tags) = shown_info(folder), read_notes(folder)
    last = LastRows(parts(folder), resumed_at(info))
    run = Summary(
        folder,
        name,
        losses=tuple(last.losses),
        last_step=last.step,
        marks=tuple(last.marks(last.losses)),
        note=note,
        tags=tags,
        steps_per_second=last.steps_per_second,
        last=last.values,
    )
    return _with_info(run, info, last) if info else run


def _with_info(run: Summary, info: dict[str, Any], last: LastRows) -> Summary:
    named = tuple(loss for loss in colours_in(info) if not is_total(loss))
    losses = named if isinstance(info.get("losses"), dict) else run.losses
    settings = settings_in(info)
    return replace(
        run,
        state=state_of(run.path, info) or run.state,
        start=info.get("start", 0.0),
        losses=losses,
        marks=tuple(last.marks(losses)),
        weighting=method_in(settings),
        settings=_few(flat_settings(settings)),
    )


MOST_SETTINGS, LONGEST_SETTING = 200, 200
"""So many settings of a run are listed, and so many characters of each."""


def _few(settings: dict[str, str]) -> dict[str, str]:
    few = islice(settings.items(), MOST_SETTINGS)
    return {key[:LONGEST_SETTING]: text[:LONGEST_SETTING] for key, text in few}


def name_in(folder: Path, directory: Path | None) -> str:
    """What a run is called in a directory: the way to it."""
    if directory is None or folder == directory:
        return printable(folder.name or folder.resolve().name)  # "." has none
    try:
        return printable(folder.relative_to(directory).as_posix())
    except ValueError:
        return printable(folder.name)


def _holds_run(folder: Path) -> bool:
    try:
        return folder.is_dir() and is_run(folder)
    except OSError:
        return True  # it may: the list shows it as unreadable


def state_of(folder: Path, info: Mapping[str, Any]) -> str:
    """The state, where a run whose process is gone, and said nothing, has crashed.

    It is empty where the run does not say.
    """
    state: str = info.get("state", "")
    return "crashed" if state == "running" and is_abandoned(folder, info) else state
