"""A picture made of braille dots."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

BLANK = 0x2800
BITS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
"""The bit of each dot in a character: two columns, each from the bottom."""

APART = 4
"""Columns from one dot to the next of what is no line."""


class Canvas:
    """Lines drawn with two by four dots in each character; a character has one colour.

    >>> canvas = Canvas(width=3, height=1)
    >>> canvas.line([(0, 0), (5, 3)], "red")
    >>> canvas.rows()[0].plain
    '⡠⠔⠊'
    >>> canvas.line([(0, 0), (0, 3)], "red")
    >>> canvas.rows()[0].plain
    '⡧⠔⠊'
    >>> canvas = Canvas(width=3, height=1)
    >>> canvas.dots([(x, 0) for x in range(6)], "red")
    >>> canvas.rows()[0].plain
    '⡀⠀⡀'
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]
        self._marks: dict[tuple[int, int], str] = {}

    def dot(self, x: int, y: int, color: str) -> None:
        """Set one dot, counted from the lower left."""
        row, column = self.height - 1 - y // 4, x // 2
        self._bits[row][column] |= BITS[x % 2][y % 4]
        self._styles[row][column] = color

    def line(self, points: Iterable[tuple[int, int]], color: str) -> None:
        """Draw through points whose x rises, or stays."""
        points = list(points)
        for x, y in points[:1]:
            self.dot(x, y, color)
        for (left, before), (right, after) in pairwise(points):
            last = before
            for x in range(left, right + 1):
                share = (x - left) / (right - left) if right > left else 1
                y = before + round((after - before) * share)
                for between in _way(last, y):
                    self.dot(x, between, color)
                last = y

    def dots(self, points: Iterable[tuple[int, int]], color: str) -> None:
        """Show points whose x rises, so far apart that they are no line."""
        free = 0
        for x, y in points:
            if x >= free:
                self.dot(x, y, color)
                free = x + APART

    def mark(self, x: int, text: str, color: str) -> None:
        """Put a character into the top row."""
        self._marks[0, x // 2] = text
        self._styles[0][x // 2] = color

    def rows(self) -> list[Text]:
        """The rows, from the top."""
        return [self._row(row) for row in range(self.height)]

    def _row(self, row: int) -> Text:
        text = Text()
        for column, (bits, style) in enumerate(
            zip(self._bits[row], self._styles[row], strict=True)
        ):
            text.append(self._marks.get((row, column), chr(BLANK + bits)), style)
        return text


def _way(start: int, end: int) -> range:
    """The heights after `start` up to and with `end`, or the one that both are.

    >>> list(_way(1, 3)), list(_way(3, 2)), list(_way(2, 2))
    ([2, 3], [2], [2])
    """
    if start == end:
        return range(end, end + 1)
    step = 1 if end > start else -1
    return range(start + step, end + step, step)
