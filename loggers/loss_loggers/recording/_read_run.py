"""A recorded run, read back."""

from __future__ import annotations

from itertools import islice
from sys import intern
from typing import TYPE_CHECKING, Any

from loss_loggers.base._paths import folder_at

from ._columns import UnparsableError, parse_file
from ._line_template import KEYS, STATISTICS
from ._run_folder import (
    EPOCH_COLUMNS,
    EPOCHS,
    INFO,
    is_run,
    missing_parts,
    readable_parts,
    run_info,
)
from ._table import UnreadableError, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    import numpy

    from ._table import Line

    Columns = dict[str, numpy.ndarray[Any, Any]]


_AT_ONCE = 10_000


def read_run(path: str | PathLike[str]) -> Run:
    """The run in a folder, finished or still being written.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_metrics({"loss/G": 0.5, "loss/D": 0.25}, step=0)
    ...         logger.log_metrics({"loss/G": 0.125, "loss/D": 1.5}, step=1)
    ...     run = read_run(logger.path)
    >>> run
    Run('gan', finished, 4 lines, ['G', 'D'])
    >>> run["G"]["loss"].tolist()
    [0.5, 0.125]

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If a file of it was changed so that it makes no sense: which, and in which line.
    """
    folder = folder_at(path)
    if not is_run(folder):
        msg = f"a run is a folder with {INFO} or losses.csv; {folder} has neither"
        raise FileNotFoundError(msg)
    return Run(folder)


class Run:
    """What a run folder held when it was read.

    Attributes:
        info: the content of `run.json`.
        columns: for each column of all parts an array: `step` int64, `time` float64, `name` str,
            the statistics float64 with NaN where a line has none.
        epochs: the same of `epochs.csv`, a line for each epoch and loss: `epoch` and `step` (its
            last) int64, `name` str, `mean` and `samples` float64. Empty arrays without that file.
        note: what was amiss, or an empty string.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = run_info(path)
        self.columns = _joined([_read(part) for _, part in readable_parts(path)])
        self.epochs = _epochs(path / EPOCHS)
        amiss = [f"{path / name} is missing" for name in missing_parts(path)]
        self.note = "; ".join(
            amiss if self.info else [f"{path / INFO} is missing or unreadable", *amiss]
        )

    @property
    def names(self) -> list[str]:
        """The losses, and the user's own numbers, in order of appearance."""
        return list(dict.fromkeys(self.columns["name"].tolist()))

    def __getitem__(self, name: str) -> Columns:
        """The columns of one loss."""
        mine = self.columns["name"] == name
        if not mine.any():
            msg = f"{self.path} has no loss {name!r}; it has {self.names}"
            raise KeyError(msg)
        return {key: column[mine] for key, column in self.columns.items() if key != "name"}

    def __iter__(self) -> Iterator[str]:
        """The names, as those of a dict."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many losses and numbers of the user's own there are."""
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        """Whether there is a loss, or a number, of this name."""
        return name in self.names

    def __repr__(self) -> str:
        state, lines = self.info.get("state", "unknown"), len(self.columns["step"])
        return f"Run({self.path.name!r}, {state}, {lines} lines, {self.names})"


def _read(path: Path, default: Sequence[str] = (*KEYS, *STATISTICS)) -> Columns:
    """The columns of a file, many lines at a time: their text takes ten times the room."""
    import numpy as np

    header, lines = read_table(path, default=default)
    blocks = _read_large(path, header) or [_columns(header, []), *_read_any(path, header, lines)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in header}


def _read_large(path: Path, header: list[str]) -> list[Columns] | None:
    """With pyarrow, where it is worth it; None where the lines need a look at each."""
    import numpy as np

    try:
        blocks = parse_file(path, header)
        names = [[intern(name.decode()) for name in block.names] for block in blocks]
    except UnparsableError:
        return None
    return [
        {
            **dict.fromkeys(header, np.full(len(block.codes), np.nan)),
            **dict(zip(block.columns, block.values, strict=True)),
            "step": block.values[0].astype(np.int64),
            "name": np.array(known, dtype=object)[block.codes],
        }
        for block, known in zip(blocks, names, strict=True)
    ]


def _read_any(path: Path, header: list[str], lines: Iterator[Line]) -> Iterator[Columns]:
    while block := list(islice(lines, _AT_ONCE)):
        yield _block(path, header, block)


def _block(path: Path, header: Sequence[str], block: list[Line]) -> Columns:
    try:
        return _columns(header, [line.cells for line in block])
    except (ValueError, OverflowError):
        line, name, cell = next(
            (line, name, cell)
            for line in block
            for name, cell in zip(header, line.cells, strict=True)
            if not _is_of(name, cell)
        )
    kind = "an integer of 64 bits" if name == "step" else "a number"
    raise UnreadableError(path, line.number, f"{name} must be {kind}, got {cell[:60]!r}")


def _is_of(name: str, cell: str) -> bool:
    try:
        _column(name, [cell])
    except (ValueError, OverflowError):
        return False
    return True


def _epochs(path: Path) -> Columns:
    columns = _read(path, EPOCH_COLUMNS) if path.exists() else _columns(EPOCH_COLUMNS, [])
    return {**columns, "epoch": columns["epoch"].astype("int64")}


def _columns(header: Sequence[str], lines: list[list[str]]) -> Columns:
    columns = zip(*lines, strict=True) if lines else [()] * len(header)
    return {name: _column(name, cells) for name, cells in zip(header, columns, strict=True)}


def _column(name: str, cells: Sequence[str]) -> numpy.ndarray[Any, Any]:
    import numpy as np

    if name == "name":
        return np.array(list(map(intern, cells)), dtype=object)
    if name == "step":
        return np.array(list(map(int, cells)), dtype=np.int64)
    return np.array([float(cell or "nan") for cell in cells], dtype=np.float64)


def _joined(parts: list[Columns]) -> Columns:
    import numpy as np

    parts = parts or [_columns((*KEYS, *STATISTICS), [])]
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: np.concatenate([_part_of(part, name) for part in parts]) for name in names}


def _part_of(part: Columns, name: str) -> numpy.ndarray[Any, Any]:
    """The column, or as many NaN in a part that came before it."""
    return part[name] if name in part else _column(name, [""] * len(part["step"]))
