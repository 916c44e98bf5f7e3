"""One CSV file that only ever grows by whole lines."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 65536


class Part:
    """A part of the record, open for appending.

    Nothing waits in a buffer, so a process that is killed loses at most the line being written.
    Nothing is forced onto the disk either (fsync costs more than the rest of a step).
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self.size = self._file.seek(0, os.SEEK_END)
        self._torn = False

    def append(self, text: str) -> None:
        """Write all of the text, or raise and leave the file as it was."""
        if self._torn:
            self.truncate(self.size)
        data = text.encode()
        try:
            _write(self._file, data)
        except BaseException:
            self._torn = True
            # Whole lines again at once, in case that nothing more is written.
            with suppress(OSError):
                self.truncate(self.size)
            raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Forget what stands after the first `size` bytes."""
        self._file.truncate(size)
        self.size = size
        self._torn = False

    def mend(self) -> int:
        """Drop a last line that was not written to its end; the number of bytes dropped."""
        torn = self.size
        self.truncate(_end_of_lines(self._file))
        return torn - self.size

    def header(self) -> list[str]:
        """The names of the columns."""
        import csv

        self._file.seek(0)
        line = self._file.readline().decode()
        return next(csv.reader([line]), [])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _write(file: BinaryIO, data: bytes) -> None:
    # A disk that is nearly full takes a part; the next call then says why it took no more.
    while data:
        data = data[file.write(data) :]


def _end_of_lines(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
