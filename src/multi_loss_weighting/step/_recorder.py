"""Takes each step into the statistics and reports its row: at once, or when it was read back."""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from loss_loggers import Pending, row_time
from multi_loss_weighting.accelerator._owner import Entry, Owner
from multi_loss_weighting.accelerator._readback import READ_EVERY, Readback
from multi_loss_weighting.batch._nonfinite import describe, warn_nonfinite
from multi_loss_weighting.distributed._ranks import Ranks
from multi_loss_weighting.distributed._sums import Tallied, read_tally
from multi_loss_weighting.statistics._record import LossRecord, with_clamped, with_weight
from multi_loss_weighting.statistics._scalar import add, begin_epoch

from ._memory import as_list
from ._step_state import StepState, taken_in
from .report._outbox import Outbox
from .report._reporter import PendingEpoch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from loss_loggers import Row
    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.batch._nonfinite import NonfinitePolicy
    from multi_loss_weighting.statistics._record import Numbers

    from ._losses import LossSet
    from .report._reporter import Reporter
    from .report._settings import ReportSettings

_new = tuple.__new__


class Later(NamedTuple):
    """What is known on the host of a step that is read back later."""

    given: list[bool] | None
    weights: list[float] | None
    samples: float | None
    extra: dict[str, Any]
    later: list[str]


class Recorder(Owner):
    """Keeps the state of a step, which it replaces wholly or not at all.

    Args:
        losses: The losses, as far as they are known.
        report: Who shares the objective, and who of them reports.
        nonfinite: What to do with a loss that is not finite.
        log_every: Steps on an accelerator between two reads; None for 50.
        reporter: Gets the rows.

    Attributes:
        stride: How far each step moves the count of steps.
    """

    state: StepState
    outbox: Outbox

    def __init__(
        self,
        losses: LossSet,
        report: ReportSettings,
        nonfinite: NonfinitePolicy,
        log_every: int | None,
        reporter: Reporter | None,
    ) -> None:
        self.state = StepState(0, losses, losses.numbers_from((), ()))
        self.stride = 1
        every = READ_EVERY if log_every is None else log_every
        self.use_readback(Readback(every, self.resume))
        self.lost = 0
        self.ranks = Ranks(
            report.process_group,
            report_all=report.all_ranks,
            is_fixed=losses.options.are_given,
            read_every=every,
        )
        self._nonfinite = nonfinite
        self.error: Exception | None = None
        self.outbox = Outbox(reporter)
        self.report_to(reporter)

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            self.wait()
            self.resume()
        state = self.state._replace(finite=bool(self.finite), buffer=0, untold=None)
        return self.__dict__ | {"lock": None, "state": state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.use_readback(self.readback)
        self.report_to(self.outbox.reporter)

    def use_readback(self, readback: Readback) -> None:
        """What reads the losses on an accelerator, perhaps those of others with them."""
        self.readback = readback
        self.lock = readback.lock

    def report_to(self, reporter: Reporter | None) -> None:
        """Who gets the rows from now on."""
        self.outbox.reporter = reporter
        if reporter is not None:
            self.readback.come_before_the_end_of(reporter.logger)

    @property
    def reports(self) -> bool:
        """Whether there is somebody to report to, and this rank does."""
        return self.outbox.reporter is not None and self.ranks.is_reporter

    @property
    def finite(self) -> Tensor:
        """Whether every loss of the last step was finite, on all ranks: a 0-d bool tensor."""
        known = self.state.finite
        return torch.tensor(known, device="cpu") if isinstance(known, bool) else known()

    def wait(self) -> Sequence[Numbers]:
        """What is known of each loss, once all that is on its way has come."""
        # Of several that share a readback, one does not wait for the others.
        if self.state.number > self.state.taken:
            with self.lock:
                if self.readback:  # Another thread may have taken all of it in.
                    self.readback.wait()
        return self.state.records

    # Losses that are known now.

    def take_in(
        self,
        batch: Batch,
        weights: Any,
        total: Any,
        measured: float | Tallied,
        extra: Mapping[str, Any],
        step: int,
        untold: Any = None,
    ) -> None:
        """Take in a step whose losses are known.

        Args:
            batch: The losses.
            weights: Their weights [K].
            total: The objective, a number or a tensor without dimensions.
            measured: How many samples each loss is the mean of, or the tally that it is from.
            extra: Numbers of the user's own for the row.
            step: The step.
            untold: What the weighting is to be told.
        """
        if self.outbox.rows:
            self.resume()
        state = self.state
        if type(weights) is not list:
            weights = as_list(weights)
        if batch.is_plain and not isinstance(measured, Tallied):
            rules = repeat(state.losses.rules)
            records = [
                *map(
                    add, state.records, batch.values, repeat(measured), repeat(step), weights, rules
                )
            ]
            bad: Sequence[int] = ()
        else:
            records, bad = taken_in(state, batch, weights, measured, step)
        used = measured.used if isinstance(measured, Tallied) else None
        self._commit(state, records, batch.given, total, extra, step, bad, untold, used)

    def take_in_one(
        self,
        value: float,
        weight: float,
        samples: float,
        extra: Mapping[str, Any],
        step: int | None,
        is_clamped: bool,
    ) -> None:
        """Take in a step of the one loss that there is, whose value is known."""
        with self.lock:
            if self.outbox.rows:
                self.resume()
            state = self.state
            step = state.step if step is None else step
            records = state.records
            given: list[bool] | None = None
            bad: Sequence[int] = ()
            if samples:
                numbers = add(records[0], value, samples, step, weight, state.losses.rules)
                if is_clamped:
                    numbers = with_clamped(numbers)
                if not math.isfinite(value):
                    bad = (0,)
                records = (numbers,)
            else:
                given, records = [False], (with_weight(records[0], weight),)
            self._commit(state, records, given, None, extra, step, bad)
        if self.error is not None:
            self.raise_error()

    def _commit(
        self,
        state: StepState,
        records: Sequence[Numbers],
        given: list[bool] | None,
        total: Any,
        extra: Mapping[str, Any],
        step: int,
        bad: Sequence[int],
        untold: Any = None,
        used: Sequence[float] | None = None,
    ) -> None:
        """Take over what a step made of the records, by one store, and report its row."""
        number = state.number + 1
        outbox = self.outbox
        reports = outbox.reporter is not None and self.ranks.is_reporter  # without a call
        if reports:
            row = state.losses.template.row(state.records, records, given, used)
            if state.losses.template.total:
                row[state.losses.template.total] = (
                    total.item() if isinstance(total, Tensor) else total
                )
            for name, value in extra.items():  # a loss of another rank may have come since
                row.setdefault(name, value.item() if isinstance(value, Tensor) else value)
            held = number, Pending(((step, row_time(), row),))
            outbox.rows.append(held)
        # A tuple of its own class, without the call of its name.
        self.state = _new(
            StepState,
            (
                step + self.stride,
                state.losses,
                records,
                number,
                number,
                state.buffer,
                (),
                None,
                not bad,
                state.epoch,
                {},
                untold,
                state.empty + (given is not None and not any(given)),
            ),
        )
        if reports:
            outbox.send(number, state.epoch, held)
        if bad:
            self._complain(bad, step)

    def resume(self) -> None:
        """Report what an interrupt kept back of a step, or of an epoch, that was taken in."""
        self.outbox.send(self.state.taken, self.state.epoch)

    # Losses that are read back later.

    def take_in_later(
        self,
        batch: Batch,
        measured: Tensor,
        weights: Any,
        total: Tensor,
        samples: float | None,
        extra: Mapping[str, Any],
        step: int,
        buffer: int,
        finite: Callable[[], Tensor],
        untold: Any = None,
    ) -> None:
        """Take in a step on an accelerator when its losses have been read back.

        Args:
            batch: The losses.
            measured: The losses [K], or their tally [5, K].
            weights: Their weights [K], which nobody changes any more.
            total: The objective, which nobody changes any more.
            samples: How many samples each loss is the mean of; None for a tally.
            extra: Numbers of the user's own for the row, tensors on the device among them.
            step: The step.
            buffer: The buffer of the device's history with this step in it.
            finite: Whether all losses are finite.
            untold: What the weighting is to be told.
        """
        if self.outbox.rows:
            self.resume()
        state = self.state
        number = state.number + 1
        later = [name for name, value in extra.items() if isinstance(value, Tensor)]
        tensors = [measured, total, *(extra[name] for name in later)]
        if isinstance(weights, Tensor):
            tensors.append(weights)
        known = None if isinstance(weights, Tensor) else as_list(weights)
        details = Later(batch.given, known, samples, dict(extra), later)
        self.readback.add(Entry(self, number, step, tensors, details))
        self.change(
            step=step + self.stride,
            number=number,
            buffer=buffer,
            remembered=(),
            sums=None,
            finite=finite,
            extra={},
            untold=untold,
            empty=state.empty + (batch.given is not None and not any(batch.given)),
        )
        self.readback.proceed()

    def complete(self, entry: Entry, values: list[list[float]]) -> None:
        """Take in a step that was read back."""
        details: Later = entry.details
        numbers, (total,), *more = values
        weights = more[-1] if details.weights is None else details.weights
        while entry.number > (state := self.state).taken:
            used: Sequence[float] | None = None
            if details.samples is None:
                tallied = read_tally(numbers)
                measured: float | Tallied = tallied
                used = tallied.used
                batch = state.losses.reader.known(tallied.losses, tallied.given, used)
            else:
                measured = details.samples
                batch = state.losses.reader.known(numbers, details.given)
            records, bad = taken_in(state, batch, weights, measured, entry.step)
            row: Row | None = None
            if self.reports:
                own = dict(details.extra)
                own |= {name: value for name, (value,) in zip(details.later, more, strict=False)}
                template = state.losses.template
                reported = template.row(state.records, records, batch.given, used)
                ours = reported | ({template.total: total} if template.total else {})
                row = entry.step, entry.time, ours | own | ours
            if self.take(entry, state, row, records=records) and bad:
                self._complain(bad, entry.step)

    # Epochs.

    def end_epoch(self) -> dict[str, float]:
        """The means of the epoch, by samples, of the losses that came in it; the next begins."""
        with self.lock:
            self.wait()
            self.resume()
            state = self.state
            known = zip(state.losses.names, map(LossRecord._make, state.records), strict=True)
            means = {
                name: (record.epoch_mean, record.epoch_samples)
                for name, record in known
                if record.epoch_samples
            }
            labels = dict(zip(state.losses.names, state.losses.template.labels, strict=True))
            own = {labels[name]: mean for name, mean in means.items()} if self.reports else {}
            pending = PendingEpoch(state.epoch, own, max(state.step - 1, 0))
            self.outbox.epochs.append(pending)
            records = [begin_epoch(numbers) for numbers in state.records]
            self.state = state._replace(records=records, epoch=state.epoch + 1)
            self.outbox.send(state.taken, state.epoch + 1, means=pending)
        return {name: mean for name, (mean, _) in means.items()}

    # Losses that are not finite.

    def _complain(self, bad: Sequence[int], step: int) -> None:
        state = self.state
        for index in bad:
            name, record = state.losses.names[index], LossRecord._make(state.records[index])
            # A mean is over what was finite.
            value = math.nan if math.isfinite(record.value) else record.value
            if self._nonfinite.name == "raise":
                self.error = self.error or FloatingPointError(describe(name, value, step))
            elif record.nonfinite == 1:
                try:
                    warn_nonfinite(name, value, step, self._nonfinite.keeps())
                except RuntimeWarning as error:  # Where warnings are errors, after the row.
                    self.error = self.error or error

    def flush(self) -> None:
        """Wait for what is on its way, and report what was interrupted."""
        with self.lock:
            self.readback.wait()
            self.resume()
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what is to be raised about a loss that was not finite, once."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
