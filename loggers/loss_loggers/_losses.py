"""The losses of a run on disk: parts that grow, each with columns of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lines import KEYS, STATISTICS, quoted
from ._part import Part
from .run_folder import part_path, parts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Losses:
    """The last part of a record, and the next one when a column turns up that nobody foresaw."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = max(1, len(parts(folder)))
        self._part = Part(part_path(folder, self._number))
        self.dropped = self._part.mend()
        self._read_columns()

    @property
    def position(self) -> tuple[int, int]:
        """The number of the part that is written, and its size in bytes."""
        return self._number, self._part.size

    def widen(self, columns: Iterable[str]) -> bool:
        """Make room for these columns; whether there was none."""
        new = [column for column in dict.fromkeys(columns) if column not in self.columns]
        if new and self._part.size:
            self._open(self._number + 1)
        self.columns.extend(new)
        return bool(new)

    def append(self, text: str) -> None:
        """Write whole lines, below a header."""
        self._part.append(text if self._part.size else self._header() + text)

    def rewind(self, number: int, size: int) -> None:
        """Forget all that was written after this position."""
        path = part_path(self._folder, number)
        if not path.exists() or path.stat().st_size < size:
            msg = f"the state was taken at byte {size} of {path}, which no longer has as many"
            raise ValueError(msg)
        self._open(number)
        for later in parts(self._folder)[number:]:
            later.unlink()
        self._part.truncate(size)
        self._read_columns()

    def close(self) -> None:
        """Close the file."""
        self._part.close()

    def _open(self, number: int) -> None:
        part = Part(part_path(self._folder, number))
        self._part.close()
        self._part, self._number = part, number

    def _header(self) -> str:
        return ",".join(map(quoted, (*KEYS, *self.columns))) + "\n"

    def _read_columns(self) -> None:
        header = self._part.header() or (*KEYS, *STATISTICS)
        self.columns = list(header[len(KEYS) :])
