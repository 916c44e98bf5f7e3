"""The record of a run, while this process writes it."""

from __future__ import annotations

import os
from contextlib import suppress
from math import inf, nextafter
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import is_repeated
from loss_loggers.base._lock import FileLock, LocksMissingError
from loss_loggers.base._process import is_first_rank, last_error
from loss_loggers.base._warn import warn

from ._losses import LossFiles
from ._row_template import Places, RowTemplate
from ._run_folder import (
    INFO,
    LOCK,
    NotOursError,
    RunIsHeldError,
    claim,
    is_run,
    last_time,
    run_info,
    write_info,
)
from ._run_info import RunInfo

if TYPE_CHECKING:
    from pathlib import Path

    from loss_loggers.base._protocol import Means, Metrics, Row

_MANY = 64

LOOK_ROWS, LOOK_SECONDS = 50, 1.0
"""After so many rows, or so long, it looks whether the folder still is ours, and the file there."""

_PATIENCE = 5.0
"""Seconds that a takeover waits for the other process to let go."""

_writers: WeakValueDictionary[Path, RunWriter] = WeakValueDictionary()
"""Who writes which folder in this process."""


class RunWriter:
    """A run folder that is claimed or resumed, written, and closed once.

    Args:
        wanted: The folder that was asked for.
        resume: Whether to go on with the run that is there.
        takeover: Whether to do so although another process writes it.
    """

    def __init__(self, wanted: Path, *, resume: bool, takeover: bool = False) -> None:
        self.path = wanted
        self.info = RunInfo()
        self._losses: LossFiles | None = None
        self._places = Places()
        self._templates: dict[tuple[str, ...], RowTemplate] = {}
        self._resume, self._takeover = resume, takeover
        self._claimed = False
        self._lock = FileLock(wanted / LOCK)
        self._saved: tuple[int, int] | None = None
        self._last: tuple[float, int] = (-inf, -1)
        self._shift = 0.0
        self._unseen_rows, self._next_look = 0, 0.0
        self._is_told = False
        self.lost = 0
        self.pid = os.getpid()
        self.reason = ""

    def __getstate__(self) -> None:
        msg = (
            f"one process writes {self.path}, so its logger cannot be pickled: make one where it"
            " is used, and save state_dict() instead of the whole object"
        )
        raise TypeError(msg)

    def why_not(self) -> str:
        """Why nothing may be written, if so: a forked child shares the files of its parent."""
        if self.reason:
            return self.reason
        return "" if os.getpid() == self.pid else "it belongs to the process that forked this one"

    def open(self) -> LossFiles:
        """The losses on disk; a step that failed before is tried again."""
        if self._losses is None:
            self._claim()
            self._losses = LossFiles(self.path)
            self._report_resumption(self._losses)
            self.save()
        return self._losses

    @property
    def is_open(self) -> bool:
        """Whether the folder is claimed, and there are files to write to."""
        return self._losses is not None

    @property
    def last_time(self) -> float:
        """The time of the last row, as it is written."""
        return self._last[0]

    @property
    def place(self) -> tuple[int, int]:
        """Where the next row comes: the number of the part, from 1, and its size in bytes."""
        return self._losses.position if self._losses else (1, 0)

    @property
    def resumed(self) -> list[dict[str, Any]]:
        """Where it went on, or back: the places behind each of these are of newer rows."""
        entries: list[dict[str, Any]] = self.info.values.get("resumed", [])
        return entries

    def append(self, row: Row) -> None:
        """Write one row, which may be empty.

        Raises:
            NotOursError: If another writer has taken the run over.
        """
        step, time, metrics = row
        if not metrics:
            return
        losses = self._losses or self.open()
        if self._unseen_rows >= LOOK_ROWS or monotonic() >= self._next_look:
            self._look(losses)
        template = self._templates.get(tuple(metrics)) or self._new_template(metrics, losses)
        time += self._shift
        if time <= self._last[0]:
            time = self._later(time, step)
        text = template.text(step, time, metrics)
        try:
            losses.part.append(text, row)
        except OSError:
            if losses.part.is_there():
                raise
            self._look(losses)
            losses.part.append(text, row)
        self._last = time, step
        self._unseen_rows += 1
        if self.info.changed:
            with suppress(OSError):  # the row is safe; the next one tries again
                self.save()

    def append_epoch(self, epoch: int, means: Means, step: int) -> None:
        """Write the means of an epoch."""
        named = {self._places.name(name): mean for name, mean in means.items()}
        losses = self.open()
        self._look(losses)
        if not (is_repeated(means) and losses.epochs.has(means)):
            losses.epochs.append(epoch, named, step, means)

    def save(self) -> None:
        """Write what is known about the run."""
        write_info(self.path, self.info.values)
        self._saved = self._version()
        self.info.changed = False

    def state(self) -> dict[str, Any]:
        """Where the record is, in words and numbers that any checkpoint takes."""
        part, offset = self.place
        epochs = self._losses.epochs.size if self._losses else 0
        return {"run": self.info.values["id"], "part": part, "offset": offset, "epochs": epochs}

    def rewind(self, state: dict[str, Any]) -> None:
        """Go back to a state of this run."""
        if reason := self.why_not():
            msg = f"a record that goes back must be ours to write; of {self.path}, {reason}"
            raise ValueError(msg)
        losses = self.open()
        if state["run"] != self.info.values["id"]:
            msg = (
                f"the state belongs to run {state['run']}, but {self.path} holds run "
                f"{self.info.values['id']}: open the folder of the former with resume=True"
            )
            raise ValueError(msg)
        before = losses.ends
        # A state without epochs was taken when none were recorded yet.
        losses.rewind(state["part"], state["offset"], state.get("epochs", 0))
        self._templates.clear()
        if losses.ends != before:
            self.info.resumed_at(*losses.ends, self._shift)
            self.save()

    def close(self, error: BaseException | None = None, *, is_over: bool = True) -> None:
        """Close the files and say how the run ended; a second time does nothing."""
        if self.why_not():
            return
        losses = self._losses
        if losses is not None:
            try:
                self._look(losses)
            except NotOursError:
                return
        self.reason = "it is closed"
        if losses is not None:
            losses.close()
            self.info.finish(error, is_over=is_over)
            try:
                self.save()
            finally:
                self._lock.release()

    def close_unasked(self, *, is_over: bool) -> None:
        """Close at the end of the process, or when nobody holds the logger any more."""
        with suppress(OSError):
            self.close(last_error() if is_over else None, is_over=is_over)

    def give_up(self, reason: str) -> None:
        """Write nothing any more, since another one does."""
        self.reason = reason
        if self._losses is not None:
            self._losses.close()
        self._lock.release()

    # Whose the folder is.

    def _claim(self) -> None:
        if self._claimed:
            return
        is_there = self._resume and is_run(self.path)
        if is_there and not self._is_taken_over():
            is_there = False  # another rank of the run has it
        if is_there:
            self.info.resume(run_info(self.path))
        else:
            self._resume = False
            self.path = claim(self.path)
            self._lock = FileLock(self.path / LOCK)
            self._acquire()
        _writers[self.path] = self
        self._claimed = True

    def _is_taken_over(self) -> bool:
        """Whether the run is ours now; False where this is a later rank, which takes a sibling."""
        other = _writers.get(self.path)
        if other is not None and not other.why_not():
            other.give_up("another logger of this process goes on with it")
            warn(f"{self.path} is written by a new logger of this process; the earlier one stops")
        if self._acquire():
            return True
        where = self._lock.held_by()
        if self._takeover:
            self._ask_for_it()
            warn(f"{self.path} is taken over from {where}")
            return True
        if not is_first_rank():
            return False
        msg = (
            f"resume must wait until no other process writes the run, but {where} writes"
            f" {self.path}: end it, or pass takeover=True"
        )
        raise RunIsHeldError(msg)

    def _acquire(self) -> bool:
        try:
            return self._lock.acquire()
        except LocksMissingError as error:
            warn(f"{self.path} cannot be held against other processes: {error}")
            return True

    def _ask_for_it(self) -> None:
        """Put our name into `run.json`, where the other process will see it, and wait for it."""
        write_info(self.path, {**run_info(self.path), "writer": self.info.values["writer"]})
        deadline = monotonic() + _PATIENCE
        while not self._lock.acquire() and monotonic() < deadline:
            sleep(0.05)

    def _look(self, losses: LossFiles) -> None:
        """See whether the folder still is ours, and our file still in it."""
        version = self._version()
        if version != self._saved and version is not None:
            self._check_writer()
            self._saved = version
        rows, self._unseen_rows = self._unseen_rows, 0
        self._next_look = monotonic() + LOOK_SECONDS
        if losses.is_whole and version is not None:
            losses.seen()
        else:
            self._find_again(losses, rows)

    def _check_writer(self) -> None:
        writer = run_info(self.path).get("writer")
        if writer is not None and writer != self.info.values["writer"]:
            self.give_up("another process has taken it over")
            raise NotOursError

    def _find_again(self, losses: LossFiles, rows: int) -> None:
        is_lost = losses.find_again()
        self._templates.clear()
        self.lost += rows if is_lost else 0
        self._acquire()
        self.info.resumed_at(*losses.ends, self._shift)
        self.save()
        if not self._is_told:
            self._is_told = True
            how = f"at least {rows} rows are lost" if is_lost else "what was written is saved"
            warn(
                f"{self.path} or a file in it was deleted, replaced or cut; {how}, and rows go on"
                " there"
            )

    def _version(self) -> tuple[int, int] | None:
        """Tells apart two contents of `run.json`."""
        try:
            stat = (self.path / INFO).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    # Rows.

    def _later(self, time: float, step: int) -> float:
        """A time that does not go back; the rows of one step are told apart by it."""
        last, last_step = self._last
        if step == last_step:
            return nextafter(last, inf)
        return max(time, last)

    def _report_resumption(self, losses: LossFiles) -> None:
        if not self._resume:
            return
        last = last_time(self.path)
        self._last = last, -1
        self._shift = max(0.0, last - row_time())
        self.info.resumed_at(*losses.ends, self._shift)
        if losses.dropped:
            warn(f"{self.path} ended in a half-written line: {losses.dropped} bytes were dropped")

    def _new_template(self, metrics: Metrics, losses: LossFiles) -> RowTemplate:
        places = [self._places[metric] for metric in metrics]
        new = losses.lacking(column for _, column in places)
        if new and not losses.can_widen:
            # As numbers of the user's own, each under its whole name.
            places = [
                (self._places.name(metric), "value") if place[1] in new else place
                for metric, place in zip(metrics, places, strict=True)
            ]
            new = []
        if new or len(self._templates) >= _MANY:
            # Before there are more columns: whoever raises in between, no row is laid out for less.
            self._templates.clear()
        if new:
            losses.widen(new)
        # What has no value of its own, such as the cosine between two losses, is no loss.
        self.info.add_losses(loss for loss, column in places if column == "loss")
        template = self._templates[tuple(metrics)] = RowTemplate(places, losses.columns)
        return template
