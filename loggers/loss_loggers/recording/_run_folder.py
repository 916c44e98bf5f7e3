"""What a run is on disk: a folder with `run.json` and one or more parts of its losses.

runs/gan/run.json        what the run is: its id, losses with colours, settings, state
runs/gan/losses.csv      a line for each step and loss
runs/gan/losses-2.csv    goes on with more columns, from the step that brought a new statistic
runs/gan/epochs.csv      a line for each epoch and loss, if epochs were reported
runs/gan/notes.json      what its user wrote about it, which no logger touches
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from itertools import count
from math import inf, isfinite
from os.path import realpath
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from loss_loggers.base._paths import folder_at, open_file, replace_file, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike
    from pathlib import Path

INFO = "run.json"
NOTES = "notes.json"
LOCK = ".lock"
_BLOCK = 65536
MOST_MISSING = 8
"""Parts in a row that may have been taken away."""
EPOCHS = "epochs.csv"
EPOCH_COLUMNS = ("epoch", "step", "name", "mean", "samples")


class RunIsHeldError(RuntimeError):
    """Another process writes this run."""


class NotOursError(RuntimeError):
    """The run belongs to another writer by now."""


def is_run(path: str | PathLike[str]) -> bool:
    """Whether a folder holds a run, or what is left of one.

    >>> is_run("nowhere")
    False
    """
    folder = folder_at(path)
    return (folder / INFO).exists() or bool(parts(folder))


def run_info(path: str | PathLike[str]) -> dict[str, Any]:
    """What `run.json` says; nothing where it is missing or no longer makes sense.

    >>> run_info("nowhere")
    {}
    """
    return read_json(folder_at(path) / INFO)


def is_abandoned(path: str | PathLike[str], info: Mapping[str, Any]) -> bool:
    """Whether who writes a run, as its `run.json` says, has surely ended without a word."""
    from loss_loggers.base._lock import FileLock, is_there

    lock = folder_at(path) / LOCK
    # Where a file system has no locks, the file is empty.
    return is_there(lock, info, has_lock=bool(FileLock(lock).holder())) is False


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Replace `run.json`."""
    write_json(folder / INFO, info)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one go: who reads it sees the old one or the new one, whole."""
    import json

    replace_file(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What a file says; nothing where it is missing or no longer makes sense."""
    import json

    try:
        with open_file(path) as file:
            content = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Give a path to write: the file takes the place of the last one once it is whole.

    Raises:
        ValueError: If it is a file of a record, which is never overwritten.
    """
    target = output.parent / realpath(output)  # a link stays one
    if _is_of_a_record(output) or _is_of_a_record(target):
        msg = f"{output} belongs to a run and stays as it is: name another file"
        raise ValueError(msg)
    if output.exists() and not target.is_file():  # a pipe, or what has no name any more
        yield output
        return
    with replacing(target) as draft:
        with suppress(FileNotFoundError), target.open("r+b"):  # what may not be written stays
            draft.touch()
            draft.chmod(target.stat().st_mode & 0o777)  # as it was private before
        yield draft


def _is_of_a_record(path: Path) -> bool:
    """Whether a run has a file of this name, or may get one."""
    path = path.parent / path.name.lower()  # some file systems tell no capitals apart
    is_ours = path.name in (INFO, NOTES) or path.match("epochs*.csv") or part_number(path)
    return bool(is_ours) and (path.parent / INFO).exists()


@contextmanager
def holding(lock: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock file while the `with` lasts, waiting for it for so many seconds at most.

    Where the file system has no locks, nobody is kept out.

    Raises:
        RunIsHeldError: If somebody else holds it.
    """
    from loss_loggers.base._lock import FileLock, LocksMissingError

    held, deadline = FileLock(lock), monotonic() + patience
    with suppress(LocksMissingError):
        while not held.acquire():
            if monotonic() >= deadline:
                msg = f"{held.held_by()} holds {lock.parent}"
                raise RunIsHeldError(msg)
            sleep(0.02)
    try:
        yield
    finally:
        held.release()


def move_run(path: str | PathLike[str], target: str | PathLike[str]) -> None:
    """Move the folder of a run to a place where nothing is yet, unless somebody writes the run.

    Raises:
        RunIsHeldError: If somebody does.
        OSError: If it cannot be moved, as to another disk.
    """
    folder, to = folder_at(path), folder_at(target)
    with holding(folder / LOCK):
        to.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(to)
        (to / LOCK).unlink(missing_ok=True)


def part_path(folder: Path, number: int) -> Path:
    """Where part 1, 2, … of the losses is."""
    return folder / ("losses.csv" if number == 1 else f"losses-{number}.csv")


def part_number(path: Path) -> int:
    """Which part a file is: 1, 2, …; 0 if it is none.

    >>> from pathlib import Path
    >>> [part_number(Path(name)) for name in ("losses.csv", "losses-2.csv", "losses-old.csv")]
    [1, 2, 0]
    """
    number = path.stem.partition("-")[2] or "1"
    is_part = number.isdecimal() and path.name == part_path(path.parent, int(number)).name
    return int(number) if is_part else 0


def parts(folder: Path) -> list[Path]:
    """The files that hold the losses, in the order in which they were written.

    Any of them may have been taken away since: the others keep their numbers. A file whose number
    is far behind is somebody's copy, such as losses-20261129.csv, and no part. Each is asked for by
    its name, since the folder may be large, or one that may not be listed.
    """
    found: list[Path] = []
    missing = 0
    for number in count(1):
        path = part_path(folder, number)
        if _exists(path):
            found.append(path)
            missing = 0
        elif (missing := missing + 1) > MOST_MISSING:
            return found
    raise AssertionError


def _exists(path: Path) -> bool:
    with suppress(OSError):  # such as of a loop of links
        return path.exists()
    return False


def readable_parts(folder: Path) -> list[tuple[int, Path]]:
    """Those that can be read, with their numbers.

    What took the place of a file, such as a folder, has its lines in a later one.
    """
    there = parts(folder)
    return [(part_number(path), path) for path in there if path.is_file() or path == there[-1]]


def missing_parts(folder: Path) -> list[str]:
    """The names of those that were taken away while a later one is there."""
    there = [part_number(path) for path in parts(folder)]
    numbers = range(1, max(there, default=1))
    return [part_path(folder, number).name for number in numbers if number not in there]


def size_of_epochs(folder: Path) -> int:
    """The size of the file of epochs, if there is one."""
    path = folder / EPOCHS
    return path.stat().st_size if path.exists() else 0


def last_time(folder: Path) -> float:
    """The time of the last row that was recorded whole; minus infinity if there is none."""
    for _, path in reversed(readable_parts(folder)):
        with open_file(path) as file:
            file.seek(max(0, path.stat().st_size - _BLOCK))
            lines = file.read().split(b"\n")[:-1]
        for line in reversed(lines):
            with suppress(ValueError, IndexError):
                if isfinite(time := float(line.split(b",")[1])):
                    return time
    return -inf


def claim(wanted: Path) -> Path:
    """Take the folder for a new run, or the first numbered sibling that holds none yet."""
    return next(filter(_claimed, names(wanted)))


def names(wanted: Path) -> Iterator[Path]:
    """The folder that was asked for, and its numbered siblings."""
    yield wanted
    for number in count(2):
        yield wanted.with_name(f"{wanted.name}-{number}")


def _claimed(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    if is_run(folder):
        return False
    try:
        # Exclusive creation: of two processes that race for the folder, one gets it.
        (folder / INFO).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
