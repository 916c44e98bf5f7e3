"""A run on disk: parts of its losses, each with columns of its own, and the means of its epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.base._warn import warn

from ._epochs import Epochs
from ._line_template import KEYS, STATISTICS
from ._run_folder import part_number, part_path, parts
from ._table import UnreadableError, read_table
from .files._append_only_file import AppendOnlyFile, check_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from loss_loggers.base._protocol import Row


MOST_PARTS = 4
"""So many files at most because of new columns; what comes after them has lines of its own."""

_FIXED = [*KEYS, *STATISTICS]


class LossFiles:
    """The last part of a record, and the next one when a column turns up that nobody foresaw."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.part = self._part_to_go_on()
        self.epochs = Epochs(folder)
        self.dropped = self.part.mend() + self.epochs.dropped
        self.part.seen()

    @property
    def columns(self) -> list[str]:
        """The columns of the part that is written, beside the keys of a line."""
        return self.part.columns[len(KEYS) :]

    @property
    def position(self) -> tuple[int, int]:
        """The number of the part that is written, and its size in bytes."""
        return self.part.number, self.part.size

    @property
    def ends(self) -> tuple[int, int, int]:
        """That position, and the size of the file of epochs."""
        return *self.position, self.epochs.size

    def lacking(self, columns: Iterable[str]) -> list[str]:
        """Those of the columns for which there is no room."""
        return [column for column in dict.fromkeys(columns) if column not in self.columns]

    @property
    def can_widen(self) -> bool:
        """Whether there may be more columns: names that come one by one make no file each."""
        return not self.part.size or self.part.number < MOST_PARTS

    def widen(self, columns: Iterable[str]) -> None:
        """Make room for these columns: in the part while it is empty, else in another one."""
        old = self.part
        last = max([old.number, *map(part_number, parts(self._folder))])
        part = self._opened(last + 1 if old.size else old.number, (*old.columns, *columns))
        part.adopt(old)
        self._replace(part)

    def written(self, rows: Sequence[Row]) -> int:
        """How many of the rows are written already; they are written in order."""
        return self.part.written(rows)

    @property
    def is_whole(self) -> bool:
        """Whether the files that are written still are in their folder, with all their lines."""
        return self.part.is_whole and self.epochs.is_whole

    def find_again(self, rows: int) -> int:
        """Go on in a file of the folder where ours is there no more; how many rows are lost.

        It was deleted, or another was put in its place, such as by an editor that saves. All that
        was written since is in the file that is still open, unless its disk is gone, or it is the
        same file that was cut.

        Args:
            rows: How many came since it was last seen.
        """
        old = self.part
        lost = old.repair(old.refill, rows) if old.is_cut() else 0
        lines = old.rescued()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._place_for(lines or b"")
        self._replace(part)
        self.seen()
        is_lost = self.epochs.find_again()
        return max(rows if lines is None else lost, is_lost)

    def seen(self) -> None:
        """Remember how much was written when the file was last seen in its folder."""
        self.part.seen()

    def _place_for(self, lines: bytes) -> AppendOnlyFile:
        """A file with these lines, or with those that are in no other one."""
        number, there = self.part.number, parts(self._folder)
        path = part_path(self._folder, number)
        known = path.read_bytes() if path.is_file() else None
        if known is not None and lines.startswith(known):  # the same ones, up to the newest
            return self._refilled(number, lines[len(known) :])
        if known is not None:  # what came before the last look is in the other file
            lines = self.part.unseen(lines)
        if path in there:
            # What an earlier try left, which found no room for the lines, is empty.
            is_left = there[-1].is_file() and not there[-1].stat().st_size
            number = part_number(there[-1]) + (not is_left)
        return self._refilled(number, lines if lines.count(b"\n") > 1 else b"")

    def _refilled(self, number: int, lines: bytes) -> AppendOnlyFile:
        part = self._opened(number, self.part.columns)
        try:
            part.append(lines)
        except BaseException:
            part.close()
            raise
        return part

    def rewind(self, number: int, size: int, epochs: int) -> None:
        """Forget all that was written after this position, and after this byte of the epochs."""
        columns = self._columns_in(number)
        check_place(part_path(self._folder, number), size)
        self.epochs.rewind(epochs)
        part = self._opened(number, columns if size else _FIXED)
        part.truncate(size)
        newest = self.part.number
        self._replace(part)
        for later in parts(self._folder):
            if number < part_number(later) <= newest:
                later.unlink()

    def close(self) -> None:
        """Close the files."""
        self.part.close()
        self.epochs.close()

    def _part_to_go_on(self) -> AppendOnlyFile:
        """The last part, or the next one where a folder, or a file of others, is in its place."""
        there = parts(self._folder)
        number = part_number(there[-1]) + (not there[-1].is_file()) if there else 1
        try:
            columns = self._columns_in(number)
        except UnreadableError as error:
            number, columns = number + 1, _FIXED
            name = part_path(self._folder, number).name
            warn(f"{error}; the record goes on in {name}, and is read once that file is as it was")
        return self._opened(number, columns)

    def _columns_in(self, number: int) -> list[str]:
        """The columns of a part, as its header has them, or those of one without a header."""
        path = part_path(self._folder, number)
        return read_table(path, default=_FIXED)[0] if path.exists() else _FIXED

    def _opened(self, number: int, columns: Sequence[str]) -> AppendOnlyFile:
        return AppendOnlyFile(part_path(self._folder, number), number=number, columns=columns)

    def _replace(self, part: AppendOnlyFile) -> None:
        # In this order, so that Ctrl-C leaves no closed file to write to.
        old, self.part = self.part, part
        old.close()
