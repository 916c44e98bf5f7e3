"""A CSV file of a run folder, read: its header and its whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class Line(NamedTuple):
    """A line of a file."""

    cells: list[str]
    text: bytes
    """The line as it is in the file, with its end."""
    end: int
    """The byte offset at which it ends."""


def read_table(
    path: Path, start: int = 0, default: Sequence[str] = ()
) -> tuple[list[str], Iterator[Line]]:
    """The names of the columns, and the lines behind a byte offset that have a cell for each.

    A last line without its end is left out: it is being written, or the process was killed.

    Args:
        path: The file.
        start: A byte offset at which a line begins.
        default: The columns of a file without a header.
    """
    with path.open("rb") as file:
        first = file.readline()
        header = cells_of(first.decode()) if first.endswith(b"\n") else []
        header = header or [*default]
        return header, _lines(path, max(start, file.tell()), len(header))


def cells_of(line: str) -> list[str]:
    r"""The cells of one line.

    A quote that is never closed ends with its line, so that no other line is lost by it.

    >>> cells_of('7,0.5,"a, b",,\n')
    ['7', '0.5', 'a, b', '', '']
    """
    line = line.rstrip("\r\n")
    if '"' not in line:  # a third of the time
        return line.split(",") if line else []
    from csv import reader  # here, for most files have no quotes

    return next(reader([line]))


def _lines(path: Path, offset: int, width: int) -> Iterator[Line]:
    with path.open("rb") as file:
        file.seek(offset)
        begun = b""  # a name may go on in the next line, where another program wrote it
        for text in file:
            if not text.endswith(b"\n"):
                return
            offset += len(text)
            whole = begun + text if begun else text
            cells = cells_of(whole.decode())
            if begun and len(cells) != width:
                cells = cells_of(text.decode())
            if len(cells) == width:
                begun = b""
                yield Line(cells, whole, offset)
            else:
                begun = whole if whole.count(b'"') % 2 else b""
