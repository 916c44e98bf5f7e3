"""The means of each epoch, in `epochs.csv` of a run folder."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.base._warn import warn

from ._line_template import quoted
from ._run_folder import EPOCH_COLUMNS, EPOCHS, run_info
from ._table import UnreadableError, read_table, senseless
from .files._append_only_file import AppendOnlyFile, check_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.base._epoch_row import EpochRow
    from loss_loggers.base._protocol import Means


class EpochLine(NamedTuple):
    """A line of `epochs.csv`, and the byte offset at which it ends."""

    epoch: int
    step: int
    name: str
    mean: float
    samples: float
    end: int


class LoggedEpoch(NamedTuple):
    """An epoch of one group, as a logger without `log_epoch` gets it, and where its lines end."""

    step: int
    row: EpochRow
    end: int


class Epochs:
    """The file while it is written: made at the first epoch, and only ever appended to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / EPOCHS
        self._file: AppendOnlyFile | None = None
        self._is_begun_anew = self._path.is_file() and self._is_set_aside()
        self.dropped = self._open().mend() if self._path.exists() else 0

    @property
    def size(self) -> int:
        """Its size in bytes; 0 while there is no file."""
        return self._file.size if self._file else 0

    def append(self, epoch: int, means: Means, step: int, mark: object = None) -> None:
        """Write the lines of one epoch, whole or not at all; `has(mark)` then says so."""
        start = f"{int(epoch)},{int(step)}"
        lines = [
            f"{start},{quoted(name)},{float(mean)!r},{_number(samples)}\n"
            for name, (mean, samples) in means.items()
        ]
        if lines:
            (self._file or self._open()).append("".join(lines), mark)

    def has(self, mark: object) -> bool:
        """Whether the lines with this mark were written, if that was not long ago."""
        return self._file is not None and self._file.has(mark)

    @property
    def is_whole(self) -> bool:
        """Whether the file, if there is one, still is in its folder, with all its lines."""
        return self._file is None or self._file.is_whole

    def find_again(self) -> bool:
        """Where the file was deleted, or another was put in its place, write a new one.

        Whether epochs are lost: their file was cut, or cannot be written again.
        """
        old = self._file
        if old is None or old.is_whole:
            return False
        if old.is_there():
            old.refill()
            return True
        is_saved = False
        with suppress(OSError):
            self._write_again(old.content())
            is_saved = True
        if self._file is old:
            self._file = None  # the next epoch makes another
        old.close()
        return not is_saved

    def _is_set_aside(self) -> bool:
        """Whether others wrote the file, which then has another name."""
        try:
            read_table(self._path, default=EPOCH_COLUMNS)
        except UnreadableError as error:
            numbered = (self._path.with_stem(f"{self._path.stem}-{n}") for n in count(2))
            aside = next(path for path in numbered if not path.exists())
            self._path.rename(aside)
            warn(f"{error}; it is now {aside.name}, and the epochs go on in a new {EPOCHS}")
            return True
        return False

    def _write_again(self, lines: bytes) -> None:
        self._path.unlink(missing_ok=True)
        if lines:
            self._open().append(lines)

    def rewind(self, size: int) -> None:
        """Forget all that was written after this many bytes."""
        if self._is_begun_anew:  # what was before is in the file that was set aside
            size = min(size, self.size)
        if size:
            check_place(self._path, size)
        if self._file is not None:
            self._file.truncate(size)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> AppendOnlyFile:
        self._file = AppendOnlyFile(self._path, columns=EPOCH_COLUMNS)
        return self._file


def read_epochs(folder: Path) -> Iterator[EpochLine]:
    """The lines of a run folder, but for one that is being written."""
    path = folder / EPOCHS
    for line in read_table(path, default=EPOCH_COLUMNS)[1] if path.exists() else ():
        if len(line.cells) == len(EPOCH_COLUMNS):
            epoch, step, name, *means = line.cells
            try:
                mean, samples = map(float, means)
                known = EpochLine(int(epoch), int(step), name, mean, samples, line.end)
            except ValueError as error:
                raise senseless(path, line.end, error) from None
            yield known


def read_epoch_rows(folder: Path) -> Iterator[LoggedEpoch]:
    """The epochs of a run folder, each group with one of its own, as it was logged.

    What tells the groups apart is their scope, which `run.json` knows; the second mean of a loss is
    of another epoch.
    """
    settings = run_info(folder).get("hyperparameters")
    keys = settings if isinstance(settings, dict) else ()  # it may have been edited
    scopes = [key.removesuffix("weighting") for key in keys if key.endswith("/weighting")]
    key: tuple[int, int, str] | None = None
    means: dict[str, tuple[float, float]] = {}
    end = 0
    for epoch, step, name, mean, samples, line_end in read_epochs(folder):
        scope = max((scope for scope in scopes if name.startswith(scope)), key=len, default="")
        if key is not None and (key != (epoch, step, scope) or name in means):
            yield LoggedEpoch(key[1], epoch_row(key[0], means), end)
            means = {}
        key, end = (epoch, step, scope), line_end
        means[name] = mean, samples
    if key is not None:
        yield LoggedEpoch(key[1], epoch_row(key[0], means), end)


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(float(value))
