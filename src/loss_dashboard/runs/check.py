"""Whether a run folder is sound: what a crash, a full disk or an editor may have left behind."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from loss_loggers.recording import INFO, parts, run_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NEEDED = ("step", "time", "name", "loss", "weight")


def check_run(folder: Path) -> list[str]:
    """What is wrong with a run, a line each; nothing if it is sound."""
    files = parts(folder)
    problems = [] if run_info(folder) else [f"{INFO} is missing or unreadable"]
    if not files:
        problems.append("losses.csv is missing")
    return problems + [problem for part in files for problem in _check_part(part)]


def _check_part(part: Path) -> list[str]:
    """The same for one file, which is read once, a line at a time."""
    half: list[str] = []
    try:
        with part.open(encoding="utf-8", errors="replace", newline="\n") as file:
            problems = _check_lines(part.name, csv.reader(_whole(file, half)))
    except OSError as error:
        return [f"{part.name} cannot be read: {error.strerror or error}"]
    except csv.Error as error:
        return [f"{part.name} makes no sense as a table: {error}"]
    return problems + [f"{part.name} ends in a half-written line"] * len(half)


def _whole(lines: Iterable[str], half: list[str]) -> Iterator[str]:
    """The lines that have an end; one that has none is put aside."""
    for line in lines:
        if line.endswith("\n"):
            yield line
        else:
            half.append(line)


def _check_lines(name: str, lines: Iterator[list[str]]) -> list[str]:
    header = next(lines, [])
    missing = [column for column in NEEDED if column not in header]
    torn, odd = _Lines(), _Lines()
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            torn.add(number)
        if not _holds_numbers(header, line):
            odd.add(number)
    lacks = f"{name} lacks the column {' and '.join(missing)}"
    return [
        *([lacks] if missing else []),
        *([f"{name} has {torn} with other than {len(header)} cells"] if torn.count else []),
        *([f"{name} has {odd} with a cell that is no number"] if odd.count else []),
    ]


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
