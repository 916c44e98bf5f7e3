"""A run on disk: parts of its losses, each with columns of its own, and the means of its epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.base._paths import open_file

from ._append_only_file import AppendOnlyFile
from ._epochs import Epochs
from ._row_template import KEYS, STATISTICS
from ._run_folder import part_path, parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from loss_loggers.base._protocol import Row


MOST_PARTS = 4
"""So many files at most because of new columns; what comes after them has lines of its own."""


class LossFiles:
    """The last part of a record, and the next one when a column turns up that nobody foresaw."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.part = self._opened(max(1, len(parts(folder))), (*KEYS, *STATISTICS))
        self.epochs = Epochs(folder)
        self.dropped = self.part.mend() + self.epochs.dropped
        self.part.read_columns()
        self._seen = self.part.size

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
        part = self._opened(old.number + bool(old.size), (*old.columns, *columns))
        part.adopt(old)
        self._replace(part)

    def written(self, rows: Sequence[Row]) -> int:
        """How many of the rows are written already; they are written in order."""
        for index in reversed(range(len(rows))):
            if self.part.has(rows[index]):
                return index + 1
        return 0

    @property
    def is_whole(self) -> bool:
        """Whether the files that are written still are in their folder, with all their lines."""
        return self.part.is_there() and not self.part.is_cut() and self.epochs.is_whole

    def find_again(self) -> bool:
        """Go on in a file of the folder where ours is there no more; whether rows may be lost.

        It was deleted, or another was put in its place, such as by an editor that saves. All that
        was written since is in the file that is still open, unless its disk is gone, or it is the
        same file that was cut.
        """
        old = self.part
        if is_cut := old.is_cut():
            old.refill()
        try:
            data = old.content()
        except OSError:  # e.g. a stale handle of a network disk
            data = None
        self._folder.mkdir(parents=True, exist_ok=True)
        there = parts(self._folder)
        path = part_path(self._folder, old.number)
        saved = _content(path) if path in there else None
        if data is not None and saved and data.startswith(saved):
            part = self._opened(old.number, old.columns)  # the same lines, up to the newest ones
            part.append(data[len(saved) :])
        else:
            part = self._opened(len(there) + 1, old.columns)
            lines = data or b""
            if saved is not None:  # what came before the last look is in the other file
                header = lines.find(b"\n") + 1
                lines = lines[:header] + lines[max(header, self._seen) :]
            if lines.count(b"\n") > 1:
                part.append(lines)
        self._replace(part)
        self.seen()
        self.epochs.find_again()
        return data is None or is_cut

    def seen(self) -> None:
        """Remember how much was written when the file was last seen in its folder."""
        self._seen = self.part.size

    def rewind(self, number: int, size: int, epochs: int) -> None:
        """Forget all that was written after this position, and after this byte of the epochs."""
        self._check(number, size)
        self.epochs.rewind(epochs)
        part = self._opened(number, (*KEYS, *STATISTICS))
        part.truncate(size)
        part.read_columns()
        self._replace(part)
        for later in parts(self._folder)[number:]:
            later.unlink()

    def close(self) -> None:
        """Close the files."""
        self.part.close()
        self.epochs.close()

    def _check(self, number: int, size: int) -> None:
        path = part_path(self._folder, number)
        if not path.exists() or path.stat().st_size < size:
            msg = f"the state was taken at byte {size} of {path}, which no longer has as many"
            raise ValueError(msg)

    def _opened(self, number: int, columns: Sequence[str]) -> AppendOnlyFile:
        return AppendOnlyFile(part_path(self._folder, number), number=number, columns=columns)

    def _replace(self, part: AppendOnlyFile) -> None:
        # In this order, so that Ctrl-C leaves no closed file to write to.
        old, self.part = self.part, part
        old.close()


def _content(path: Path) -> bytes | None:
    """What is in a file; None where it cannot be read, as a pipe, at which nobody shall wait."""
    try:
        with open_file(path) as file:
            return file.read()
    except OSError:
        return None
