"""One CSV file that only ever grows by whole lines."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from loss_loggers.recording._line_template import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_BLOCK = 65536

_REMEMBERED = 64
"""How many texts are known by their marks: an interrupted delivery comes again soon, or never."""


class AppendOnlyFile:
    """A file of whole lines, open for appending, with a header above its first line.

    Nothing waits in a buffer, so a process that is killed loses at most the line being written.
    Nothing is forced onto the disk either (fsync costs more than the rest of a step).

    Ctrl-C may come between any two operations. So a text is written by one call, counts as written
    by one more (an entry in `_written`), and `settle` decides on one that was interrupted between.
    """

    def __init__(self, path: Path, *, number: int = 1, columns: Sequence[str] = ()) -> None:
        self.number, self._path = number, path
        self._file = path.open("a+b", buffering=0)
        self._written = _only((self._file.seek(0, os.SEEK_END), None))
        self._begun: tuple[int, object] | None = None
        self.columns, self._header = list(columns), _header(columns)
        self._seen = self.size

    @property
    def size(self) -> int:
        """How many bytes were written."""
        self.settle()
        return self._written[-1][0]

    def append(self, text: str | bytes, mark: object = None) -> None:
        """Write all of the text, or raise and leave the file as it was.

        Bytes are whole lines that bring a header of their own. `has(mark)` then says that it was
        written, also where the call itself was interrupted.
        """
        if self._begun is not None:
            self.settle()
        size = -1
        while size != self._written[-1][0]:  # the handler of a signal may write, too
            size = self._written[-1][0]
            own = text if size or isinstance(text, bytes) else self._header + text
            data = own.encode() if isinstance(own, str) else own
            begun = (size + len(data), mark)
        self._begun = begun
        try:
            count = self._file.write(data)
            while count < len(data):
                # A disk that is nearly full takes a part; the next call then says why no more.
                count += self._file.write(data[count:])
        except BaseException:
            # Whole lines again at once, in case that nothing more is written.
            with suppress(OSError):
                self.settle()
            raise
        if self._begun is not begun:  # another text was written, or settled this one
            begun = (self._file.seek(0, os.SEEK_END), mark)
        self._written.append(begun)
        self._begun = None

    def has(self, mark: object) -> bool:
        """Whether the text of this mark was written, if that was not long ago."""
        self.settle()
        return any(known is mark for _, known in self._written)

    def written(self, marks: Sequence[object]) -> int:
        """How many texts of these marks were written; they are written in order."""
        for index in reversed(range(len(marks))):
            if self.has(marks[index]):
                return index + 1
        return 0

    def settle(self) -> None:
        """A text whose writing was interrupted counts if all of it is there; else it is dropped."""
        begun = self._begun
        if begun is not None and begun is not self._written[-1] and not self._file.closed:
            if self._file.seek(0, os.SEEK_END) == begun[0]:
                self._written.append(begun)
            else:
                self._file.truncate(self._written[-1][0])
        self._begun = None

    @property
    def is_whole(self) -> bool:
        """Whether it still is at its path, with all that was written."""
        return self.is_there() and not self.is_cut()

    def is_there(self) -> bool:
        """Whether the file at its path still is the one that is written."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            return False

    def is_cut(self) -> bool:
        """Whether somebody made it shorter than what was written, as `> losses.csv` does."""
        try:
            return os.fstat(self._file.fileno()).st_size < self.size
        except OSError:
            return False

    def repair(self, how: Callable[[], object], rows: int) -> int:
        """Repair it after it was cut; how many rows it lost, at least, by the size of the newest.

        Args:
            how: Takes out what cannot be read.
            rows: How many came since it was last seen whole; of those before, none are counted.
        """
        size, newest = self.size, self._written[-1][0] - self._written[-2 % len(self._written)][0]
        how()
        return max(1, min(rows, round((size - self.size) / max(newest, 1))))

    def refill(self) -> None:
        """Go on behind what is left of a file that was cut, below its header."""
        self.truncate(_end_of_lines(self._file))
        left, header = self.content(), self._header.encode()
        if left and not left.startswith(header):
            self.truncate(0)
            self.append(header + left)

    def content(self) -> bytes:
        """All that was written, also where the file has no path any more."""
        self.settle()
        self._file.seek(0)
        return self._file.read()

    def rescued(self) -> bytes | None:
        """All that was written, or None where its disk is gone."""
        try:
            return self.content()
        except OSError:  # e.g. a stale handle of a network disk
            return None

    def seen(self) -> None:
        """Remember how much was written when the file was last seen at its path."""
        self._seen = self.size

    def unseen(self, lines: bytes) -> bytes:
        """Of all that was written what came after that, below the header."""
        header = lines.find(b"\n") + 1 if self._header else 0
        return lines[:header] + lines[max(header, self._seen) :]

    def written_again(self, path: Path, lines: bytes) -> AppendOnlyFile:
        """A file at a path, in place of this one, with what it lacks of the lines of this one.

        A file that is there and has other lines gets those that came since ours was last seen.
        """
        new = AppendOnlyFile(path, columns=self.columns)
        try:
            known = new.content()
            if not lines.startswith(known):
                new.mend()
            new.append(lines[len(known) :] if lines.startswith(known) else self.unseen(lines))
        except BaseException:
            new.close()
            raise
        new.adopt(self)
        self.close()
        return new

    def adopt(self, other: AppendOnlyFile) -> None:
        """Know the marks of the file before this one."""
        self._written = deque([*other._written, self._written[-1]], maxlen=_REMEMBERED)

    def truncate(self, size: int) -> None:
        """Forget what stands after the first `size` bytes."""
        self._file.truncate(size)
        self._written, self._begun = _only((size, None)), None
        self._seen = min(self._seen, size)

    def mend(self) -> int:
        """Drop a last line that was not written to its end; the number of bytes dropped."""
        torn = self.size
        self.truncate(_end_of_lines(self._file))
        return torn - self.size

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError, ValueError):  # a second time it is closed already
            self.settle()
        self._file.close()


def check_place(path: Path, offset: int) -> None:
    """See whether a place noted in a checkpoint still is between two lines of a file.

    Raises:
        ValueError: If there is no file, it ends before that, or no line ends there.
    """
    taken = f"the state was taken at byte {offset} of {path}"
    if not path.exists() or path.stat().st_size < offset:
        msg = f"{taken}, which no longer has as many"
        raise ValueError(msg)
    if offset:
        with path.open("rb") as file:
            file.seek(offset - 1)
            if file.read(1) != b"\n":
                msg = f"{taken}, where no line ends"
                raise ValueError(msg)


def _header(columns: Sequence[str]) -> str:
    return ",".join(map(quoted, columns)) + "\n" if columns else ""


def _only(entry: tuple[int, object]) -> deque[tuple[int, object]]:
    return deque([entry], maxlen=_REMEMBERED)


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
