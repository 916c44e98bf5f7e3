"""What was added to a file since it was last read."""

from __future__ import annotations

import os
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from loss_loggers.recording import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

BLOCK = 1 << 22
"""Bytes read at once: enough to be fast, few enough that what is made of them stays at hand."""

MARK = 256
"""So many bytes before the end are compared: a file that was put back may be as long again."""


class Tail:
    """Reads whole lines of a file that grows, and notices when it is no longer the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.half = 0
        self.size = 0
        self._mark = b""
        self._seen: tuple[int, ...] = ()

    def has_more(self) -> bool:
        """Whether the file was touched since it was last read."""
        return self._now() != self._seen

    def has_much(self) -> bool:
        """Whether more than a block is left to read."""
        return self._now()[1] - self.offset > BLOCK

    def why_changed(self) -> str:
        """Why what was read is no longer what the file says, if so."""
        with open_file(self.path) as file:
            if file.seek(0, os.SEEK_END) < self.offset:
                is_same = os.fstat(file.fileno()).st_ino == self._seen[0]
                return "was truncated" if is_same else "was replaced"
            file.seek(self.offset - len(self._mark))
            return "" if file.read(len(self._mark)) == self._mark else "was replaced"

    def read(self, until: float = inf) -> Iterator[memoryview]:
        """Blocks of whole lines, up to a monotonic time; the next call goes on."""
        seen = self._now()
        self.size = seen[1]
        with open_file(self.path) as file:
            while lines := self._lines(file):
                yield lines
                if monotonic() > until:
                    return
        self._seen = seen

    def _lines(self, file: BufferedReader) -> memoryview:
        file.seek(self.offset)
        data = file.read(BLOCK)
        end = data.rfind(b"\n") + 1
        self.half = len(data) - end
        self.offset += end
        if end:
            self._mark = data[max(0, end - MARK) : end]
        return memoryview(data)[:end]

    def _now(self) -> tuple[int, ...]:
        status = self.path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
