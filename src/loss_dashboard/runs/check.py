"""Whether a run folder is sound: what a crash, a full disk or an editor may have left behind."""

from __future__ import annotations

from math import inf
from os import SEEK_END
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import (
    INFO,
    UnreadableError,
    missing_parts,
    open_file,
    part_number,
    parts,
    read_table,
    run_info,
)

from .run_json import resumptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.recording import Line

NEEDED = ("step", "time", "name", "loss", "weight")


def check_run(folder: Path) -> list[str]:
    """What is wrong with a run, a line each; nothing if it is sound."""
    files, info = parts(folder), run_info(folder)
    problems = [] if info else [f"{INFO} is missing or unreadable"]
    missing = missing_parts(folder) if files else ["losses.csv"]
    problems += [f"{name} is missing" for name in missing]
    if not files:
        return problems
    if _is_empty(files[-1]) and not (len(files) == 1 and info.get("has_rows")):
        files = files[:-1]  # it has no header before its first row
    order = _Order(resumptions(info))
    checked = (_check_part(part, part_number(part), order) for part in files)
    return problems + [problem for part in checked for problem in part]


def _is_empty(part: Path) -> bool:
    return part.is_file() and not part.stat().st_size


def _check_part(part: Path, number: int, order: _Order) -> list[str]:
    """The same for one file, which is read once, a line at a time."""
    order.begin_part(number)
    if _is_empty(part):
        return [f"{part.name} is empty, and had rows"]
    torn: list[int] = []
    try:
        header, lines = read_table(part, torn=torn)
        problems = _check_lines(part.name, header, lines, order)
        is_half = not _ends_a_line(part)
    except OSError as error:
        return [f"{part.name} cannot be read: {error.strerror or error}"]
    except UnreadableError as error:
        return [f"{part.name}{str(error).removeprefix(str(part))}"]
    if torn:
        problems.append(f"{part.name} has {_named(torn)} with other than {len(header)} cells")
    return problems + [f"{part.name} ends in a half-written line"] * is_half


def _ends_a_line(part: Path) -> bool:
    with open_file(part) as file:
        file.seek(-1, SEEK_END)
        return file.read() == b"\n"


def _check_lines(name: str, header: list[str], lines: Iterator[Line], order: _Order) -> list[str]:
    missing = [column for column in NEEDED if column not in header]
    odd, back = [], []
    for line in lines:
        if not _holds_numbers(header, line.cells):
            odd.append(line.number)
        elif order.goes_back(dict(zip(header, line.cells, strict=True)), line.end - len(line.text)):
            back.append(line.number)
    problems = [f"{name} lacks the column {' and '.join(missing)}"] if missing else []
    if odd:
        problems.append(f"{name} has {_named(odd)} with a cell that is no number")
    if back:
        problems.append(
            f"{name} has {_named(back)} that go back in step or time where no resume is noted: two"
            " processes, or several trainings, may have written it"
        )
    return problems


class _Order:
    """Whether steps and time go on, from line to line; a noted resume may go back."""

    def __init__(self, resumed: list[dict[str, Any]]) -> None:
        self._resumed = resumed
        self._noted: list[int] = []
        self._time = -inf
        self._steps: dict[str, float] = {}

    def begin_part(self, number: int) -> None:
        """Go on with this part."""
        offsets = [place.get("offset") for place in self._resumed if place.get("part") == number]
        self._noted = sorted(offset for offset in offsets if isinstance(offset, int))

    def goes_back(self, cells: dict[str, str], start: int) -> bool:
        """Whether a line that starts here goes back, where none did before it."""
        while self._noted and self._noted[0] <= start:
            self._noted.pop(0)
            self._time = -inf
            self._steps.clear()
        name, step, time = (cells.get(key, "") for key in ("name", "step", "time"))
        if not (step and time):
            return False
        now, goes_back = float(time), float(step) < self._steps.get(name, -inf)
        goes_back |= now < self._time
        self._time, self._steps[name] = now, float(step)
        return goes_back


def _holds_numbers(header: list[str], line: list[str]) -> bool:
    """Whether all cells are numbers or empty, but for the name."""
    try:
        for column, cell in zip(header, line, strict=False):
            if cell and column != "name":
                float(cell)
    except ValueError:
        return False
    return True


def _named(lines: list[int]) -> str:
    """How many lines, and where.

    >>> _named([7]), _named([7, 9])
    ('1 line (number 7)', '2 lines (the first is number 7)')
    """
    one = f"1 line (number {lines[0]})"
    return one if len(lines) == 1 else f"{len(lines)} lines (the first is number {lines[0]})"
