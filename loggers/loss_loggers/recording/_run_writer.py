"""The record of a run, while this process writes it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import inf, isfinite, nextafter
from time import monotonic
from typing import TYPE_CHECKING, Any

from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import is_repeated
from loss_loggers.base._process import is_first_rank, last_error
from loss_loggers.base._warn import warn

from ._folder_claim import FolderClaim
from ._line_template import LineTemplate, Places
from ._losses import LossFiles
from ._run_folder import NotOursError, last_time
from ._run_info import RunInfo
from .files._watch import LOOK_ROWS, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loss_loggers.base._protocol import Means, Metrics, Row

_MANY = 64

_CLOSED = "it is closed"


class RunWriter:
    """A run folder that is claimed or resumed, written, and closed once.

    Args:
        wanted: The folder that was asked for.
        resume: Whether to go on with the run that is there.
        takeover: Whether to do so although another process writes it.
    """

    def __init__(self, wanted: Path, *, resume: bool, takeover: bool = False) -> None:
        self.info = RunInfo()
        self.claim = FolderClaim(
            wanted, self.info, resume=resume, takeover=takeover, let_go=self._close_files
        )
        self._losses: LossFiles | None = None
        self._places = Places()
        self._templates: dict[tuple[str, ...], LineTemplate] = {}
        self._last: tuple[float, int] = (-inf, -1)
        self._shift = 0.0
        self._watch = Watch()
        self._state_to_load: dict[str, Any] | None = None

    @property
    def path(self) -> Path:
        """The folder: the one that was asked for, or a sibling once it is claimed."""
        return self.claim.path

    def why_not(self) -> str:
        """Why nothing may be written, if so."""
        return self.claim.why_not()

    def open(self) -> LossFiles:
        """The losses on disk; a step that failed before is tried again."""
        if self._losses is None:
            self.claim.take()
            self._losses = LossFiles(self.path)
            self._report_resumption(self._losses)
            self.save()
            self._load_late(self._losses)
        return self._losses

    @property
    def is_open(self) -> bool:
        """Whether the folder is claimed, and there are files to write to."""
        return self._losses is not None

    @property
    def lost(self) -> int:
        """Rows that were written to a file that is gone, and could not be saved from it."""
        return self._watch.lost

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
        losses, watch = self._losses or self.open(), self._watch
        # What `is_due` asks, without its call: this is at every step.
        if watch.rows >= LOOK_ROWS or monotonic() >= watch.next_look:
            self._look(losses)
        template = self._templates.get(tuple(metrics)) or self._new_template(metrics, losses)
        time += self._shift
        if not self._last[0] < time < inf:
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
        watch.rows += 1
        if self.info.changed:
            with suppress(OSError):  # the row is safe; the next one tries again
                self.save()

    def written(self, rows: Sequence[Row]) -> int:
        """How many of the rows are written already; they are written in order."""
        return self._losses.written(rows) if self._losses else 0

    def append_epoch(self, epoch: int, means: Means, step: int) -> None:
        """Write the means of an epoch, which may be none."""
        if not means:
            return
        named = {self._places.name(name): mean for name, mean in means.items()}
        losses = self.open()
        self._look(losses)
        if not (is_repeated(means) and losses.epochs.has(means)):
            losses.epochs.append(epoch, named, step, means)

    def add_hyperparameters(self, hyperparameters: dict[str, Any]) -> None:
        """Write them too; on a later rank without a folder they wait for its first row.

        A rank that writes no rows gets no folder, and takes none from the one that does.
        """
        self.info.add_hyperparameters(hyperparameters)
        if self.is_open or is_first_rank():
            self._look(self.open())
            self.save()

    def save(self) -> None:
        """Write what is known about the run."""
        self.claim.save()

    def state(self) -> dict[str, Any]:
        """Where the record is, in words and numbers that any checkpoint takes."""
        if self._state_to_load is not None:
            return self._state_to_load
        part, offset = self.place
        epochs = self._losses.epochs.size if self._losses else 0
        return {"run": self.info.values["id"], "part": part, "offset": offset, "epochs": epochs}

    def rewind(self, state: dict[str, Any]) -> None:
        """Go back to a state of this run; a later rank without a folder does with its first row."""
        _check_state(state)
        if self._losses is not None and not self.why_not():
            with suppress(NotOursError):
                self._look(self._losses)
        if reason := self.why_not():
            msg = f"a record that goes back must be ours to write; of {self.path}, {reason}"
            raise ValueError(msg)
        if self.is_open or is_first_rank():
            self._go_back(self.open(), state)
        else:
            self._state_to_load = state

    def _load_late(self, losses: LossFiles) -> None:
        """Go back now, if that had to wait; a step is no place for an error about it."""
        state, self._state_to_load = self._state_to_load, None
        if state is not None:
            try:
                self._go_back(losses, state)
            except (OSError, ValueError) as error:
                warn(f"{self.path} does not go back: {error}")

    def _go_back(self, losses: LossFiles, state: dict[str, Any]) -> None:
        if state["run"] != self.info.values["id"]:
            msg = (
                f"the state belongs to run {state['run']}, but {self.path} holds run "
                f"{self.info.values['id']}: open the folder of the former with resume=True"
            )
            raise ValueError(msg)
        before = losses.ends
        losses.rewind(state["part"], state["offset"], state.get("epochs", 0))
        self._templates.clear()
        if losses.ends != before:
            self.info.set_has_rows(losses.position > (1, 0))
            self.info.resumed_at(*losses.ends, self._shift)
            self.save()
        for step, time, metrics in state.get("rows", ()):  # they were being recorded
            self.append((step, time, metrics))

    def close(self, error: BaseException | None = None, *, is_over: bool = True) -> None:
        """Close the files and say how the run ended; a second time does nothing."""
        if self.why_not():
            return
        losses = self._losses
        if losses is None:
            self.claim.reason = _CLOSED
            return
        try:
            self._look(losses)
        except NotOursError:
            return
        except OSError:
            self._end(losses, error, is_over=is_over)
            raise
        self._end(losses, error, is_over=is_over)

    def close_or_warn(self, error: BaseException | None = None, *, is_over: bool = True) -> None:
        """The same, where nobody is to be stopped by a disk that says no."""
        try:
            self.close(error, is_over=is_over)
        except OSError as problem:
            lost = f", and at least {self.lost} rows are lost" if self.lost else ""
            warn(f"the run in {self.path} is over, but could not say so there ({problem}){lost}")

    def close_unasked(self, *, is_over: bool) -> None:
        """Close at the end of the process, or when nobody holds the logger any more."""
        self.close_or_warn(last_error() if is_over else None, is_over=is_over)

    def _end(self, losses: LossFiles, error: BaseException | None, *, is_over: bool) -> None:
        self.claim.reason = _CLOSED
        losses.close()
        self.info.finish(error, is_over=is_over)
        try:
            self.save()
        finally:
            self.claim.release()

    def _close_files(self) -> None:
        if self._losses is not None:
            self._losses.close()

    # Whether it still is there, and ours.

    def _look(self, losses: LossFiles) -> None:
        """See whether the folder still is ours, and our file still in it."""
        is_there = self.claim.is_there()
        if losses.is_whole and is_there:
            losses.seen()
        else:
            self._find_again(losses)
        self._watch.seen()

    def _find_again(self, losses: LossFiles) -> None:
        watch = self._watch
        watch.missing()
        lost = losses.find_again(watch.rows)
        watch.found(lost)
        self._templates.clear()
        self.info.resumed_at(*losses.ends, self._shift)
        self.claim.hold_again()
        self.save()
        watch.tell(f"{self.path} or a file in it", lost, "there")

    # Rows.

    def _later(self, time: float, step: int) -> float:
        """A time that does not go back; the rows of one step are told apart by it."""
        last, last_step = self._last
        if not isfinite(time):  # as from a file that somebody edited
            time = row_time() + self._shift
        if time > last:
            return time
        return nextafter(last, inf) if step == last_step else last

    def _report_resumption(self, losses: LossFiles) -> None:
        if not self.claim.is_resumed:
            return
        last = last_time(self.path)
        self._last = last, -1
        self._shift = max(0.0, last - row_time())
        self.info.resumed_at(*losses.ends, self._shift)
        if losses.dropped:
            warn(f"{self.path} ended in a half-written line: {losses.dropped} bytes were dropped")

    def _new_template(self, metrics: Metrics, losses: LossFiles) -> LineTemplate:
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
            self._look(losses)  # while the rows of the part that ends can still be saved
            losses.widen(new)
        # What has no value of its own, such as the cosine between two losses, is no loss.
        self.info.add_losses(loss for loss, column in places if column == "loss")
        self.info.set_has_rows(True)
        template = self._templates[tuple(metrics)] = LineTemplate(places, losses.columns)
        return template


def _check_state(state: Any) -> None:
    """Raise if it is none, before anything changes; before the first epoch it has no epochs."""
    is_ours = isinstance(state, Mapping) and isinstance(state.get("run"), str)
    places = [state.get("part"), state.get("offset"), state.get("epochs", 0)] if is_ours else [None]
    rows = state.get("rows", []) if is_ours else []
    are_rows = isinstance(rows, list) and all(map(_is_row, rows))
    if not are_rows or not all(type(place) is int and place >= 0 for place in places):
        msg = f"state must be what state_dict() of a CsvLogger gives, got {state!r:.200}"
        raise ValueError(msg)


def _is_row(row: Any) -> bool:
    kinds = int, int | float, Mapping
    return isinstance(row, list | tuple) and len(row) == 3 and all(map(isinstance, row, kinds))
