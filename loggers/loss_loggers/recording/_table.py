"""A CSV file of a run folder, read: its header and its whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from loss_loggers.base._paths import open_file
from loss_loggers.base._warn import in_short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KEYS = ("step", "time", "name")
"""The columns with which a file of losses begins."""


LONGEST = 1 << 24
"""Bytes of a line at most: a longer one is none of ours, and would fill the memory."""


class Line(NamedTuple):
    """A line of a file."""

    cells: list[str]
    text: bytes
    """The line as it is in the file, with its end."""
    end: int
    """The byte offset at which it ends."""
    number: int
    """Which line it is, counted from the one behind which the reading began."""


def read_table(
    path: Path, start: int = 0, default: Sequence[str] = (), torn: list[int] | None = None
) -> tuple[list[str], Iterator[Line]]:
    """The names of the columns, and the lines behind a byte offset that have a cell for each.

    A last line without its end is left out: it is being written, or the process was killed.

    Args:
        path: The file.
        start: A byte offset at which a line begins.
        default: The columns of a file without a header. One with a header has the first of these.
        torn: Gets the numbers of the lines that have not a cell for each column.

    Raises:
        UnreadableError: If it is no such file; the message names the file and the line. Lines raise
            it when they are read.
    """
    with open_file(path) as file:
        first = _line(path, 1, file)
        if b"\r" in first.rstrip(b"\r\n"):
            raise UnreadableError(path, 1, "lines must end with a line feed, got carriage returns")
        header = cells_of(_text(path, 1, first)) if first.endswith(b"\n") else []
        if header and default and header[: len(KEYS)] != [*default[: len(KEYS)]]:
            wanted = ",".join(default[: len(KEYS)])
            raise UnreadableError(path, 1, f"it must begin with {wanted}, got {first[:60]!r}")
        header = header or [*default]
        return header, _lines(path, max(start, file.tell()), len(header), torn)


class UnreadableError(ValueError):
    """A file of a run is not as `CsvLogger` wrote it."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}")


def senseless(path: Path, end: int, error: Exception) -> UnreadableError:
    """What to raise at a line that ends at this byte offset, after the error that it brought."""
    with open_file(path) as file:  # lines are counted anew, for the reading may have begun anywhere
        number = file.read(end).count(b"\n")
    return UnreadableError(path, number, f"it makes no sense ({in_short(error)})")


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise UnreadableError(path, number, f"it must be text, got {line[:60]!r}") from None


def cells_of(line: str) -> list[str]:
    r"""The cells of one line.

    A quote that is never closed ends with its line, so that no other line is lost by it.

    >>> cells_of('7,0.5,"a, b",,\n')
    ['7', '0.5', 'a, b', '', '']
    """
    line = line.rstrip("\r\n")
    if '"' not in line:  # a third of the time
        return line.split(",") if line else []
    from csv import Error  # here, for most files have no quotes

    try:
        return _parsed([line])[0]
    except Error:  # at a carriage return that is not quoted
        return _parsed([line.replace("\r", "\ufffd")])[0]


def csv_rows(lines: Sequence[str]) -> list[list[str]]:
    r"""The cells of lines as CSV has them; a name may be longer than the 128 KB of the default.

    >>> csv_rows(["0,k\rl", '1,"k\rl"\r'])
    [['0', 'k\rl'], ['1', 'k\rl']]
    """
    from csv import Error

    try:
        return _parsed(lines)
    except Error:
        return [cells_of(line) for line in lines]


def _parsed(lines: Sequence[str]) -> list[list[str]]:
    from csv import field_size_limit, reader

    field_size_limit(LONGEST)
    return list(reader(lines))


def _line(path: Path, number: int, file: BinaryIO) -> bytes:
    line = file.readline(LONGEST)
    if len(line) == LONGEST:
        raise UnreadableError(path, number, f"it must be shorter than {LONGEST >> 20} MB")
    return line


def _lines(path: Path, offset: int, width: int, torn: list[int] | None) -> Iterator[Line]:
    with open_file(path) as file:
        file.seek(offset)
        number = 1  # counted from the header, where the reading begins there
        begun = b""  # a name may go on in the next line, where another program wrote it
        while (text := _line(path, number := number + 1, file)).endswith(b"\n"):
            offset += len(text)
            whole = begun + text if begun else text
            cells = cells_of(_text(path, number, whole))
            if begun and len(cells) != width:  # it does not: half a line stands before this one
                whole, cells = text, cells_of(_text(path, number, text))
            if len(cells) == width:
                begun = b""
                if torn and whole is not text:
                    del torn[len(torn) - whole.count(b"\n", 0, -1) :]  # the lines that it began in
                yield Line(cells, whole, offset, number)
            else:
                begun = whole if whole.count(b'"') % 2 else b""
                if torn is not None:
                    torn.append(number)
