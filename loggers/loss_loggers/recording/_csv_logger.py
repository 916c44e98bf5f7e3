"""The local record: a run folder that pandas, a spreadsheet and the dashboard read."""

from __future__ import annotations

import os
import warnings
import weakref
from threading import RLock
from time import time
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._paths import folder_at
from loss_loggers.base._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from loss_loggers.base._protocol import Means, Metrics, Row


class CsvLogger(BaseLogger):
    """Record a run in a folder: `losses.csv`, a line for each step and loss, and `run.json`.

    Each row is on its way to the disk when `log_metrics` returns, so a killed process loses at
    most the line being written. A folder that already holds a run is left alone: the run goes to
    the first free sibling (`runs/gan-2`), and `path` says which. With `resume=True` it is
    continued instead, after the last whole line; a checkpoint that kept `state_dict()` puts it
    back to exactly where it was. One process writes a run; a forked child of it cannot.

    Names are split at the first slash: `weight/G` is the weight of G. Numbers keep every digit.
    A number without a slash, such as `lr`, stands under `value`. A statistic that has no column
    starts `losses-2.csv`. The means of an epoch are in `epochs.csv`, from the first epoch on. Read
    all of it with `read_run`, or a file with `pandas.read_csv`.

    On another rank than the first of a distributed run there is no folder before the first row,
    and a group reports none there unless it is told to.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_rows([(0, 1.5e9, {"loss/G": 0.5, "weight/G": 1.0, "lr": 1e-3})])
    ...     print((logger.path / "losses.csv").read_text(), end="")
    step,time,name,loss,weight,weighted,mean,std,var,cov,cov_weight,block_mean,block_std,nonfinite,value
    0,1500000000.0,G,0.5,1.0,,,,,,,,,,
    0,1500000000.0,lr,,,,,,,,,,,,0.001
    """

    def __init__(self, path: str | PathLike[str], *, resume: bool = False) -> None:
        # Imported when it is used, for it is half of what importing this package would cost.
        from ._run_writer import RunWriter

        self._writer = RunWriter(folder_at(path), resume=resume)
        self._lost = 0
        self._warned = False
        # Reentrant, for a signal handler may close the logger in the middle of a row.
        self._lock = RLock()
        self._finalizer = weakref.finalize(self, self._writer.close_unasked)
        if _is_first_rank():
            self._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The folder of the run: the one that was asked for, or its first free sibling."""
        return self._writer.path

    @property
    def failed(self) -> int:
        """Rows that came after the end, or in a forked process. Others raise."""
        return self._lost

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Record one row, with the time of now."""
        self.log_rows([(step, time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Record rows, with the times that they bring."""
        self.log_pending(Pending(rows))

    def log_pending(self, pending: Pending) -> None:
        """Record rows that an interrupted delivery may bring again: each is recorded once."""
        writer = self._writer
        # What `_refuses` asks, without its calls: this is at every step.
        if writer.is_closed or os.getpid() != writer.pid:
            self._refuses(len(pending))
            return
        with self._lock:
            for row in pending if pending.tries < 2 else writer.open().unwritten(pending):
                writer.append(row)

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Record the means of an epoch in `epochs.csv`."""
        if self._refuses(1):
            return
        with self._lock:
            self._writer.append_epoch(epoch, means, step)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Record what the losses are and how they are weighted; later ones are merged."""
        if self._refuses(0):
            return
        with self._lock:
            self._writer.info.add_hyperparameters(hyperparams)
            self._writer.open()
            self._writer.save()

    def state_dict(self) -> dict[str, Any]:
        """Where the record is now: the id of the run, its part and the byte offset in it."""
        return self._writer.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the record back to where it was: what was written since is forgotten."""
        with self._lock:
            self._writer.rewind(state)

    def close(self, error: BaseException | None = None) -> None:
        """Mark the run finished, or crashed with this error; a second call does nothing."""
        self.flush_producers()
        self._finalizer.detach()
        if not self._writer.why_not():
            with self._lock:
                self._close(error)

    def _open(self) -> None:
        try:
            self._writer.open()
        except OSError as error:
            msg = f"cannot record in {self.path} yet ({error}); each row will try again"
            warnings.warn(msg, RuntimeWarning, stacklevel=3)

    def _close(self, error: BaseException | None) -> None:
        try:
            self._writer.close(error)
        except OSError as problem:
            msg = f"the run in {self.path} is over, but run.json could not say so ({problem})"
            warnings.warn(msg, RuntimeWarning, stacklevel=4)

    def _refuses(self, rows: int) -> bool:
        reason = self._writer.why_not()
        self._lost += rows if reason else 0
        if reason and not self._warned:
            self._warned = True
            msg = f"{self!r} records nothing more: {reason}"
            warnings.warn(msg, RuntimeWarning, stacklevel=4)
        return bool(reason)


def _is_first_rank() -> bool:
    """Whether the launcher of a distributed run, if there is one, calls this process the first."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    return rank in ("0", "")
