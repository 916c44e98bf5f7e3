"""Whether a run folder is sound: what a crash, a full disk or an editor may have left behind."""

from __future__ import annotations

import csv
from math import inf
from typing import TYPE_CHECKING

from loss_loggers.recording import INFO, parts, run_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NEEDED = ("step", "time", "name", "loss", "weight")


def check_run(folder: Path) -> list[str]:
    """What is wrong with a run, a line each; nothing if it is sound."""
    files, info = parts(folder), run_info(folder)
    problems = [] if info else [f"{INFO} is missing or unreadable"]
    if not files:
        problems.append("losses.csv is missing")
    order = _Order(info.get("resumed"))
    checked = (_check_part(part, number, order) for number, part in enumerate(files, 1))
    return problems + [problem for part in checked for problem in part]


def _check_part(part: Path, number: int, order: _Order) -> list[str]:
    """The same for one file, which is read once, a line at a time."""
    order.begin_part(number)
    half: list[bytes] = []
    try:
        with part.open("rb") as file:
            problems = _check_lines(part.name, csv.reader(_whole(file, half, order)), order)
    except OSError as error:
        return [f"{part.name} cannot be read: {error.strerror or error}"]
    except csv.Error as error:
        return [f"{part.name} makes no sense as a table: {error}"]
    return problems + [f"{part.name} ends in a half-written line"] * len(half)


def _whole(lines: Iterable[bytes], half: list[bytes], order: _Order) -> Iterator[str]:
    """The lines that have an end; one that has none is put aside."""
    for line in lines:
        order.end += len(line)
        if line.endswith(b"\n"):
            yield line.decode("utf-8", "replace")
        else:
            half.append(line)


def _check_lines(name: str, lines: Iterator[list[str]], order: _Order) -> list[str]:
    header = next(lines, [])
    missing = [column for column in NEEDED if column not in header]
    torn, odd, back = _Lines(), _Lines(), _Lines()
    start = order.end
    for number, line in enumerate(lines, 2):
        is_whole = len(line) == len(header)
        if not is_whole:
            torn.add(number)
        if not _holds_numbers(header, line):
            odd.add(number)
        elif is_whole and order.goes_back(dict(zip(header, line, strict=True)), start):
            back.add(number)
        start = order.end
    lacks = f"{name} lacks the column {' and '.join(missing)}"
    goes_back = (
        f"{name} has {back} that go back in step or time where no resume is noted: two processes,"
        " or several trainings, may have written it"
    )
    return [
        *([lacks] if missing else []),
        *([f"{name} has {torn} with other than {len(header)} cells"] if torn.count else []),
        *([f"{name} has {odd} with a cell that is no number"] if odd.count else []),
        *([goes_back] if back.count else []),
    ]


class _Order:
    """Whether steps and time go on, from line to line; a noted resume may go back.

    Attributes:
        end: How many bytes of the part were read.
    """

    def __init__(self, resumed: object) -> None:
        self.end = 0
        self._resumed = resumed if isinstance(resumed, list) else []
        self._noted: list[int] = []
        self._time = -inf
        self._steps: dict[str, float] = {}

    def begin_part(self, number: int) -> None:
        """Go on with this part."""
        places = [place for place in self._resumed if isinstance(place, dict)]
        offsets = [place.get("offset") for place in places if place.get("part") == number]
        self._noted = sorted(offset for offset in offsets if isinstance(offset, int))
        self.end = 0

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


class _Lines:
    """How many lines, and where.

    >>> lines = _Lines()
    >>> lines.add(7)
    >>> print(lines)
    1 line (number 7)
    >>> lines.add(9)
    >>> print(lines)
    2 lines (the first is number 7)
    """

    def __init__(self) -> None:
        self.count = self.first = 0

    def add(self, number: int) -> None:
        """Count a line."""
        self.first = self.first or number
        self.count += 1

    def __str__(self) -> str:
        """In words."""
        if self.count == 1:
            return f"1 line (number {self.first})"
        return f"{self.count} lines (the first is number {self.first})"
