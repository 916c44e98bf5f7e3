"""Whether a run folder is sound: what a crash, a full disk or an editor may have left behind."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from loss_loggers.run_folder import INFO, parts, run_info

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEEDED = ("step", "time", "name", "loss", "weight")


def check_run(folder: Path) -> list[str]:
    """What is wrong with a run, a line each; nothing if it is sound."""
    files = parts(folder)
    problems = [] if run_info(folder) else [f"{INFO} is missing or unreadable"]
    if not files:
        problems.append("losses.csv is missing")
    return problems + [problem for part in files for problem in _check_part(part)]


def _check_part(part: Path) -> Iterator[str]:
    *whole, rest = part.read_bytes().decode(errors="replace").split("\n")
    header, *lines = list(csv.reader(whole)) or [[]]
    missing = [column for column in NEEDED if column not in header]
    if missing:
        yield f"{part.name} lacks the column {' and '.join(missing)}"
    torn = [number for number, line in enumerate(lines, 2) if len(line) != len(header)]
    if torn:
        yield f"{part.name} has {_lines(torn)} with other than {len(header)} cells"
    odd = [number for number, line in enumerate(lines, 2) if not _holds_numbers(header, line)]
    if odd:
        yield f"{part.name} has {_lines(odd)} with a cell that is no number"
    if rest:
        yield f"{part.name} ends in a half-written line"


def _holds_numbers(header: list[str], line: list[str]) -> bool:
    """Whether all cells are numbers or empty, but for the name."""
    try:
        for column, cell in zip(header, line, strict=False):
            if cell and column != "name":
                float(cell)
    except ValueError:
        return False
    return True


def _lines(numbers: list[int]) -> str:
    """How many lines, and where.

    >>> _lines([7]), _lines([7, 9])
    ('1 line (number 7)', '2 lines (the first is number 7)')
    """
    if len(numbers) == 1:
        return f"1 line (number {numbers[0]})"
    return f"{len(numbers)} lines (the first is number {numbers[0]})"
