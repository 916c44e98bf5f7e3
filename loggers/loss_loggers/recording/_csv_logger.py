"""The local record: a run folder that pandas, a spreadsheet and the dashboard read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._paths import folder_at
from loss_loggers.base._pending import Pending
from loss_loggers.base._process import finalizer, is_ending, is_first_rank
from loss_loggers.base._values import Names, exact, floats
from loss_loggers.base._warn import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from loss_loggers.base._protocol import Means, Metrics, Row

    from ._run_writer import RunWriter


class CsvLogger(BaseLogger):
    """Record a run in a folder: `losses.csv`, a line for each step and loss, and `run.json`.

    Each row is on its way to the disk when `log_metrics` returns, so a killed process loses at
    most the line being written. A folder that already holds a run is left alone: the run goes to
    the first free sibling (`runs/gan-2`), and `path` says which. With `resume=True` it is
    continued instead, after the last whole line; a checkpoint that kept `state_dict()` puts it
    back to exactly where it was.

    One process writes a run, and holds it by a lock that ends with it; a forked child cannot. In
    one process, such as a notebook whose cell is run again, a new logger with `resume=True` takes
    over from the earlier one; in another process it raises, unless it is told `takeover=True`. If
    the folder or a file is deleted or replaced meanwhile, a warning says so, and rows go on there.
    A run with a header that another program changed goes on in the next part, with a warning; a
    state of before then no longer fits.

    The run is "finished" once `close()` is called, a `with` ends well, or the process does;
    "crashed" after an error; and "stopped" where the logger was dropped before.

    Names are split at the first slash: `weight/G` is the weight of G. Numbers keep every digit.
    A number without a slash, such as `lr`, stands under `value`. A statistic that has no column
    starts `losses-2.csv`; past the fourth file it has lines of its own, with its whole name and its
    number under `value`. The means of an epoch are in `epochs.csv`, from the first epoch on. Read
    all of it with `read_run`, or a file with `pandas.read_csv`.

    On another rank than the first of a distributed run there is no folder before the first row,
    and a group reports none there unless it is told to. Settings, and a state that is loaded, wait
    for that row. Eight trainings of their own under one launcher so are eight runs.

    Args:
        path: The folder.
        resume: Whether to go on with the run that is there.
        takeover: Whether to do so although another process writes it: that one stops writing. The
            first rank of a launcher so goes on with a run that another rank began; no later rank
            does, for all of them would want the same one.

    Raises:
        RuntimeError: If another process writes the run that is to be resumed.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_rows([(0, 1.5e9, {"loss/G": 0.5, "weight/G": 1.0, "lr": 1e-3})])
    ...     print((logger.path / "losses.csv").read_text(), end="")
    step,time,name,loss,weight,weighted,mean,std,var,cov,cov_weight,block_mean,block_std,nonfinite,value
    0,1500000000.0,G,0.5,1.0,,,,,,,,,,
    0,1500000000.0,lr,,,,,,,,,,,,0.001
    """

    is_bound_to_process = True

    def __init__(
        self, path: str | PathLike[str], *, resume: bool = False, takeover: bool = False
    ) -> None:
        # Imported when it is used, for it is half of what importing this package would cost.
        from ._run_writer import RunWriter

        self._writer = RunWriter(folder_at(path), resume=resume, takeover=takeover)
        self._lost = 0
        self._warned = False
        # Reentrant, for the handler of a signal may close the logger in the middle of a row, save
        # its state, or record rows, which come after that row then.
        self._lock = RLock()
        self._own: Pending | None = None
        self._later: list[Pending] = []
        self._catches_up = False
        self._key = object()
        self._finalizer = finalizer(self, _end, self._writer)
        if is_first_rank():
            self._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The folder of the run: the one that was asked for, or its first free sibling."""
        return self._writer.path

    @property
    def is_open(self) -> bool:
        """Whether it has its folder: on another rank than the first it comes with the first row."""
        return self._writer.is_open

    @property
    def place(self) -> tuple[int, int]:
        """Where the next row comes: the number of the part, from 1, and its size in bytes."""
        return self._writer.place

    @property
    def resumed(self) -> list[dict[str, Any]]:
        """Where the record went on, or back: `part`, `offset` and `epochs` of each time."""
        return self._writer.resumed

    @property
    def failed(self) -> int:
        """Rows that came after the end, in a forked process, or to a disk that is gone.

        Others raise.
        """
        return self._lost + self._writer.lost

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Record one row, with the current time."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Record rows, with the times that they bring."""
        self.log_pending(Pending(rows))

    def log_pending(self, pending: Pending) -> None:
        """Record rows that an interrupted delivery may bring again: each is recorded once."""
        writer, claim = self._writer, self._writer.claim
        # What `_refuses` asks, without its calls: this is at every step.
        if claim.reason or os.getpid() != claim.pid:
            self._refuses(len(pending))
            return
        with self._lock:
            if self._own is not None:
                if self._own is not pending and not pending.waits:
                    pending.waits = True
                    self._later.append(pending)
                return
            try:
                self._own = pending
                first = 0 if pending.tries < 2 else self._written(pending)
                if pending.places is None:
                    for row in pending if not first else pending[first:]:
                        writer.append(row)
                else:
                    self._record_places(pending, first)
                pending.recorded += (self._key,)
            except Exception:  # It may have been taken over, or closed by the handler of a signal.
                if not self._refuses(len(pending) - self._written(pending)):
                    raise
            finally:
                self._own = None
                if self._later:
                    self._record_later()

    def _written(self, pending: Pending) -> int:
        """How many of the rows it has; the file knows those of the last writes alone."""
        return len(pending) if self._key in pending.recorded else self._writer.written(pending)

    def _record_later(self) -> None:
        """Record what came in the middle of a row; a disk that says no is tried again later."""
        while self._later and self._own is None and not self._catches_up:
            pending = self._later[0]
            pending.waits = False
            pending.tries += 1
            try:
                self._catches_up = True  # each row asks for the next: a call in a call, if it could
                (pending.go_on or partial(self.log_pending, pending))()
            except OSError:
                return
            except Exception:  # of its own, and so at every try
                self._drop(pending)
                raise
            finally:
                self._catches_up = False
            self._drop(pending)

    def _drop(self, pending: Pending) -> None:
        """Try these rows no more, which come next unless a handler has closed meanwhile."""
        if self._later and self._later[0] is pending:
            del self._later[0]

    @contextmanager
    def _writing(self, rows: int) -> Iterator[None]:
        """Write something else; rows that come meanwhile come after it."""
        with self._lock:
            before = self._own
            try:
                self._own = Pending() if before is None else before
                yield
            except Exception:
                if not self._refuses(rows):
                    raise
            finally:
                self._own = before
                self._record_later()

    def _record_places(self, pending: Pending, first: int) -> None:
        """Record rows, and say in which places they are, and with which times."""
        writer, places = self._writer, pending.places
        if any(metrics for _, _, metrics in pending):
            writer.open()
        for index in range(first, len(pending)):
            start, resumed = writer.place, len(writer.resumed)
            writer.append(pending[index])
            end, moment, new = writer.place, writer.last_time, writer.resumed[resumed:]
            for place in new:  # it found its file again, which may be shorter now
                start = min(start, (place["part"], place["offset"]))
            if start < end and moment != pending[index][1]:
                pending.moments = {**pending.moments, index: moment}
            places[index] = resumed + len(new), start, end  # type: ignore[index]

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Record the means of an epoch in `epochs.csv`."""
        if self._refuses(1):
            return
        with self._writing(1):
            self._writer.append_epoch(epoch, means, step)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Record what the losses are and how they are weighted; a later setting replaces it."""
        if self._refuses(0):
            return
        with self._writing(0):
            self._writer.add_hyperparameters(hyperparams)

    def state_dict(self) -> dict[str, Any]:
        """Where the record is now: the id of the run, its part and the byte offset in it.

        In the handler of a signal also the rows that are being recorded.
        """
        with self._lock:
            own = [] if self._own is None else [self._own]
            later = [pending for pending in self._later if pending is not self._own]
            rows = [
                [step, time, floats(metrics, Names(), exact)]
                for pending in (*own, *later)
                for step, time, metrics in pending[self._written(pending) :]
            ]
            return self._writer.state() | ({"rows": rows} if rows else {})

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
                # Where a handler closes in the middle of a row, that comes too late.
                self._own, self._catches_up = None, False
                self._record_later()
                left, self._later = self._later, []
                self._lost += sum(len(pending) - self._written(pending) for pending in left)
                self._writer.close_or_warn(error)

    def _open(self) -> None:
        try:
            self._writer.open()
        except OSError as error:
            warn(f"cannot record in {self.path} yet ({error}); each row will try again")

    def _refuses(self, rows: int) -> bool:
        reason = self._writer.why_not()
        self._lost += rows if reason else 0
        if reason and not self._warned:
            self._warned = True
            warn(f"{self!r} records nothing more: {reason}")
        return bool(reason)


def _end(writer: RunWriter) -> None:
    """Nobody holds the logger any more, or the process ends."""
    writer.close_unasked(is_over=is_ending())
