"""A recorded run, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._paths import folder_at

from ._row_template import KEYS, STATISTICS
from ._run_folder import EPOCH_COLUMNS, EPOCHS, INFO, is_run, parts, run_info
from ._table import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    import numpy

    Columns = dict[str, numpy.ndarray[Any, Any]]


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
        self.columns = _joined([_read(part) for part in parts(path)])
        self.epochs = _epochs(path / EPOCHS)
        self.note = "" if self.info else f"{path / INFO} is missing or unreadable"

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

    def __repr__(self) -> str:
        state, lines = self.info.get("state", "unknown"), len(self.columns["step"])
        return f"Run({self.path.name!r}, {state}, {lines} lines, {self.names})"


def _read(path: Path, default: Sequence[str] = (*KEYS, *STATISTICS)) -> Columns:
    header, lines = read_table(path, default=default)
    return _columns(header, [line.cells for line in lines])


def _epochs(path: Path) -> Columns:
    columns = _read(path, EPOCH_COLUMNS) if path.exists() else _columns(EPOCH_COLUMNS, [])
    return {**columns, "epoch": columns["epoch"].astype("int64")}


def _columns(header: Sequence[str], lines: list[list[str]]) -> Columns:
    columns = zip(*lines, strict=True) if lines else [()] * len(header)
    return {name: _column(name, cells) for name, cells in zip(header, columns, strict=True)}


def _column(name: str, cells: Sequence[str]) -> numpy.ndarray[Any, Any]:
    import numpy as np

    if name == "name":
        return np.array(cells, dtype=object)
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
