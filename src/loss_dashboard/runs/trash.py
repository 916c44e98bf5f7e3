"""Where a run goes that is removed: a folder from which it can be taken back."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from loss_loggers.recording import move_run

from .find_run import RUNS, directory_of
from .summary import run_folders

if TYPE_CHECKING:
    from pathlib import Path

TRASH = ".trash"
"""In the folder that the runs are in; what is hidden is not listed."""


def move_to_trash(folder: Path, directory: Path = RUNS) -> Path:
    """Move a run into the trash of its directory, or of the folder that it is in; where it is now.

    Raises:
        RunIsHeldError: If somebody writes the run.
        OSError: If it cannot be moved.
    """
    if folder.is_symlink():
        msg = f"{folder} is a link to {folder.resolve()}: remove the link itself"
        raise OSError(msg)
    if inside := [run for run in run_folders(folder) if run != folder]:
        others = "another run," if len(inside) == 1 else f"{len(inside)} other runs, such as"
        msg = f"it holds {others} {inside[0]}: remove what it holds, or move its own files away"
        raise OSError(msg)
    target = trashed(folder.resolve(), directory_of(folder, directory))
    move_run(folder.resolve(), target)
    return target


def trashed(folder: Path, home: Path) -> Path:
    """A free place in the trash of this directory, by the same name as before, or with a number.

    >>> from pathlib import Path
    >>> trashed(Path("/nowhere/runs/sweep/gan"), Path("/nowhere/runs")).as_posix()
    '/nowhere/runs/.trash/sweep/gan'
    """
    wanted = home / TRASH / folder.relative_to(home)
    siblings = (wanted.with_name(f"{wanted.name}-{number}") for number in count(2))
    place = wanted
    while place.exists() or place.is_symlink():
        place = next(siblings)
    return place
