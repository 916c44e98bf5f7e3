"""The record of a run, while this process writes it."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from loss_loggers.base._epoch_row import is_repeated

from ._losses import LossFiles
from ._row_template import Places, RowTemplate
from ._run_folder import claim, is_run, run_info, write_info
from ._run_info import RunInfo

if TYPE_CHECKING:
    from pathlib import Path

    from loss_loggers.base._protocol import Means, Metrics, Row

_MANY = 64


class RunWriter:
    """A run folder that is claimed or resumed, written, and closed once."""

    def __init__(self, wanted: Path, *, resume: bool) -> None:
        self.path = wanted
        self.info = RunInfo()
        self._losses: LossFiles | None = None
        self._places = Places()
        self._templates: dict[tuple[str, ...], RowTemplate] = {}
        self._resume = resume
        self._claimed = False
        self.is_closed = False
        self.pid = os.getpid()

    def __getstate__(self) -> None:
        msg = (
            f"one process writes {self.path}, so its logger cannot be pickled: make one where it"
            " is used, and save state_dict() instead of the whole object"
        )
        raise TypeError(msg)

    def why_not(self) -> str:
        """Why nothing may be written, if so: a forked child shares the files of its parent."""
        if self.is_closed:
            return "it is closed"
        return "" if os.getpid() == self.pid else "it belongs to the process that forked this one"

    def open(self) -> LossFiles:
        """The losses on disk; a step that failed before is tried again."""
        if self._losses is None:
            self._claim()
            self._losses = LossFiles(self.path)
            self._report_resumption(self._losses)
            self.save()
        return self._losses

    def append(self, row: Row) -> None:
        """Write one row, which may be empty."""
        step, time, metrics = row
        if not metrics:
            return
        losses = self._losses or self.open()
        template = self._templates.get(tuple(metrics)) or self._new_template(metrics, losses)
        losses.part.append(template.text(step, time, metrics), row)
        if self.info.changed:
            with suppress(OSError):  # the row is safe; the next one tries again
                self.save()

    def append_epoch(self, epoch: int, means: Means, step: int) -> None:
        """Write the means of an epoch."""
        named = {self._places.name(name): mean for name, mean in means.items()}
        epochs = self.open().epochs
        if not (is_repeated(means) and epochs.has(means)):
            epochs.append(epoch, named, step, means)

    def save(self) -> None:
        """Write what is known about the run."""
        write_info(self.path, self.info.values)
        self.info.changed = False

    def state(self) -> dict[str, Any]:
        """Where the record is, in words and numbers that any checkpoint takes."""
        part, offset = self._losses.position if self._losses else (1, 0)
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
        # A state without epochs was taken when none were recorded yet.
        losses.rewind(state["part"], state["offset"], state.get("epochs", 0))
        self._templates.clear()

    def close(self, error: BaseException | None = None) -> None:
        """Close the files and say how the run ended; a second time does nothing."""
        if self.why_not():
            return
        self.is_closed = True
        if self._losses is not None:
            self._losses.close()
            self.info.finish(error)
            self.save()

    def close_unasked(self) -> None:
        """Close at the end of the interpreter, or when nobody holds the logger any more."""
        # At a prompt the last error may be long past, and was seen by the user.
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        with suppress(OSError):
            self.close(error)

    def _claim(self) -> None:
        if self._claimed:
            return
        if self._resume and is_run(self.path):
            self.info.resume(run_info(self.path))
        else:
            self._resume = False
            self.path = claim(self.path)
        self._claimed = True

    def _report_resumption(self, losses: LossFiles) -> None:
        if not self._resume:
            return
        self.info.resumed_at(*losses.position)
        if losses.dropped:
            msg = f"{self.path} ended in a half-written line: {losses.dropped} bytes were dropped"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)

    def _new_template(self, metrics: Metrics, losses: LossFiles) -> RowTemplate:
        places = [self._places[metric] for metric in metrics]
        new = losses.lacking(column for _, column in places)
        if new or len(self._templates) >= _MANY:
            # Before there are more columns: whoever raises in between, no row is laid out for less.
            self._templates.clear()
        if new:
            losses.widen(new)
        # What has no value of its own, such as the cosine between two losses, is no loss.
        self.info.add_losses(loss for loss, column in places if column == "loss")
        template = self._templates[tuple(metrics)] = RowTemplate(places, losses.columns)
        return template
