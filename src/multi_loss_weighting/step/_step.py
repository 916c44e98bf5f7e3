"""Step: the way of the losses of a step, from what came in to what is recorded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.batch._value import checked_samples, checked_step, read_metrics
from multi_loss_weighting.distributed._sums import means_of, read_tally, tally
from multi_loss_weighting.statistics._scalar import clamp
from multi_loss_weighting.tensors._widest import widest
from multi_loss_weighting.weighting._base import Weighted

from ._backward import run_backward, why_no_backward
from ._memory import as_tensor, counted
from ._reading import Reading
from ._recorder import Recorder
from ._step_state import StepState
from ._weighing import Weighing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.batch._nonfinite import NonfinitePolicy
    from multi_loss_weighting.weighting._base import Weighting

    from ._backward import Backward
    from ._losses import LossSet
    from .report._reporter import Reporter
    from .report._settings import ReportSettings


class Step:
    """Reads the losses of each step, weighs them, calls backward, and has them recorded.

    Where there are several micro-batches or ranks, their mean counts as the loss of the step.

    Args:
        weighting: How to weigh.
        losses: The losses, as far as they are known.
        report: Who shares the objective, and who of them reports.
        nonfinite: What to do with a loss that is not finite.
        backward: Called with the total instead of its own backward.
        log_every: Steps between two reads, also on the CPU then; None for the default on an
            accelerator.
        reporter: Gets the rows.
    """

    def __init__(
        self,
        weighting: Weighting,
        losses: LossSet,
        report: ReportSettings,
        nonfinite: NonfinitePolicy,
        *,
        backward: Backward | None,
        log_every: int | None,
        reporter: Reporter | None,
    ) -> None:
        self.recorder = Recorder(losses, report, nonfinite, log_every, reporter)
        self.reading = Reading(self.recorder, nonfinite, is_always_late=log_every is not None)
        self.weighing = Weighing(weighting, self.reading)
        self._backward = backward

    def __getstate__(self) -> dict[str, Any]:
        """A copy has all that was on its way."""
        self.settle()
        return self.__dict__

    def weigh_by(self, weighting: Weighting) -> None:
        """Have another weighting from now on, with the statistics that are known.

        Raises:
            ValueError: If it is made for fewer losses than there are; nothing has changed.
        """
        if weighting is self.weighing.weighting:
            return
        with self.recorder.lock:
            self.settle()  # what is to be told is for the one before
            self.reading.join(self.recorder.state.losses.for_weighting(weighting))
            self.weighing.give_up()
            self.weighing.use(weighting)

    def update(
        self,
        losses: Mapping[str, Any],
        do_backwards: bool,
        step: int | None,
        extra: Any,
        samples: Any,
        retain_graph: bool,
    ) -> Tensor:
        """Weigh, call backward, and record."""
        recorder = self.recorder
        before, weights = recorder.state, None
        try:
            try:
                own = read_metrics(extra) if extra is not None else {}
                if type(samples) is not int or samples < 1:
                    samples = checked_samples(samples)
                with recorder.lock:
                    at = recorder.state.step if step is None else checked_step(step)
                    batch = self.reading.read(losses)
                    if own or before.extra:
                        self._check_extra(own)
                    if do_backwards and not batch.losses.requires_grad:
                        raise ValueError(self._why_no_backward(losses))
                    total, weights = self.weighing.weigh(batch, at)
                # The user may write to it: in a backward of theirs, or before it is read back.
                is_shared = self._backward is not None or batch.raw is not None
                used = total.detach().clone() if is_shared else total
                if do_backwards:
                    total = run_backward(total, self._backward, retain_graph)
            except Exception as error:
                self.tell_ranks(error)
                raise
            self._record(batch, weights, used, samples, own, step)
        except BaseException:
            self.reading.go_back(before)
            if weights is not None and recorder.state.number == before.number:
                self.weighing.give_up()
            raise
        return total

    def tell_ranks(self, error: Exception) -> None:
        """Where there are ranks, none of the others shall wait for one that stops."""
        if self.recorder.ranks.are_many:
            self._share(self._no_sums(), error)

    def _why_no_backward(self, losses: Mapping[str, Any]) -> str:
        names = f" ({', '.join(losses)})" if losses else ""
        msg = why_no_backward(f"no loss has a gradient{names}")
        if self.recorder.ranks.are_many:
            return f"{msg}, and give DDP, which waits, a backward of 0 times the sum of parameters"
        return f"{msg} to track them only"

    # A step is recorded.

    def record(
        self, losses: Mapping[str, Any] | None, step: int | None, extra: Any, samples: Any
    ) -> None:
        """Record a step that was weighed before, or was not weighed at all."""
        before = self.recorder.state
        with self.recorder.lock:
            try:
                try:
                    own = read_metrics(extra) if extra is not None else {}
                    if type(samples) is not int or samples < 1:
                        samples = checked_samples(samples)
                    step = None if step is None else checked_step(step)
                    batch = None if losses is None else self.reading.read_detached(losses)
                    if own or before.extra:  # with the losses that have joined
                        self._check_extra(own)
                except Exception as error:
                    self.tell_ranks(error)
                    raise
                if batch is None:
                    self._record_accumulated(own, step)
                else:
                    self._record(batch, None, None, samples, own, step)
            except BaseException:
                self.reading.go_back(before)
                raise

    def _record(
        self,
        batch: Batch,
        weights: Any,
        total: Any,
        samples: Any,
        extra: Mapping[str, Any],
        step: int | None,
    ) -> None:
        """Record a step, which ends the micro-batches before it; `weights` if they are known."""
        recorder, weighing = self.recorder, self.weighing
        with recorder.lock:
            if recorder.state.untold is not None:
                weighing.tell()
            state = recorder.state
            at = state.step if step is None else step
            if state.sums is not None or recorder.ranks.are_many or isinstance(samples, Tensor):
                if weights is not None:
                    weighing.remember(batch, Weighted(total, weights))
                self._record_sums(self._with(batch, samples), extra, at)
                return
            if not samples:
                batch, total = self.reading.read_nothing(), 0.0
            if weights is None:
                weights, total = weighing.recalled(batch, at)
            if batch.raw is None:
                untold = weighing.untold(batch, weights) if weighing.has_memory else None
                recorder.take_in(batch, weights, total, samples, extra, at, untold)
            else:
                self._record_later(batch, batch.raw, weights, total, samples, extra, at)
            if recorder.state.untold is not None or recorder.error is not None:
                self._end(batch)

    def _record_later(
        self,
        batch: Batch,
        measured: Tensor,
        weights: Any,
        total: Any,
        samples: Any,
        extra: Mapping[str, Any],
        step: int,
    ) -> None:
        """Record a step on an accelerator: its losses [K], or their tally [5, K]."""
        device = self.reading.device
        assert device is not None
        assert batch.raw is not None
        if not isinstance(total, Tensor):
            total = as_tensor(total, batch.raw)
        count, finite = samples, partial(device.are_finite, batch.raw, batch.given)
        if measured is not batch.raw:
            count, finite = None, partial(torch.eq, measured[3].sum(), 0)
        buffer = device.history.prepare(batch.raw, samples)
        untold = self.weighing.untold(batch, weights) if self.weighing.has_memory else None
        self.recorder.take_in_later(
            batch, measured, weights, total, count, extra, step, buffer, finite, untold
        )
        device.history.use(buffer)

    def _end(self, batch: Batch) -> None:
        """Tell a weighting with a memory of its own, and raise what is to be raised."""
        self.reading.history().present = batch.present
        self.weighing.tell()
        self.recorder.raise_error()

    def settle(self) -> None:
        """Finish what was taken in: what is on its way, or was kept back by an interrupt."""
        with self.recorder.lock:
            if self.recorder.state.untold is not None:
                self.weighing.tell()
            self.recorder.wait()
            self.recorder.resume()

    # Micro-batches and ranks.

    def accumulate(self, losses: Mapping[str, Any], samples: Any, extra: Any) -> None:
        """Add one micro-batch to the step."""
        with self.recorder.lock:
            before = self.recorder.state
            try:
                samples = checked_samples(samples)
                own = read_metrics(extra) if extra is not None else {}
                batch = self.reading.read_detached(losses)
                self._check_extra(own)
            except BaseException as error:
                self.reading.go_back(before)
                if isinstance(error, Exception):
                    self.tell_ranks(error)
                raise
            sums = self._with(batch, samples)
            state = self.recorder.state
            remembered = state.remembered
            if isinstance(samples, Tensor) or samples:
                remembered = counted(remembered)
            extra = _added(state.extra, own)
            self.recorder.change(sums=sums, extra=extra, remembered=remembered)

    def forget_accumulated(self) -> None:
        """Take back the micro-batches since the last step."""
        self.recorder.change(sums=None, remembered=(), extra={})
        self.weighing.give_up()

    def _with(self, batch: Batch, samples: Any) -> Tensor:
        """The sums of the step with one more micro-batch."""
        earlier = self.recorder.state.sums
        if not isinstance(samples, Tensor) and not samples and _is_nothing(earlier):
            self.weighing.give_up()
            return self._no_sums()
        if batch.raw is None:
            losses = torch.tensor(batch.values, dtype=torch.float64, device="cpu")
            limits = self.recorder.state.losses.limits
            used = losses.new_tensor([*map(clamp, batch.values, limits)]) if batch.clamped else None
        else:
            assert self.reading.device is not None
            losses = batch.raw.to(widest(batch.raw.device))
            used = self.reading.device.clamp(losses)
        sums = tally(losses, batch.given, samples, used)
        return sums if earlier is None else earlier.to(sums) + sums

    def _no_sums(self) -> Tensor:
        """The sums of no micro-batch; they stay on the host, which so knows of them."""
        size = 5, len(self.recorder.state.losses)
        return torch.zeros(size, dtype=torch.float64, device="cpu")

    def _in_place(self, sums: Tensor) -> Tensor:
        """Sums where the losses are."""
        place = self.reading.place
        return sums.to(place, widest(place))

    def _record_accumulated(self, extra: Mapping[str, Any], step: int | None) -> None:
        state = self.recorder.state
        if state.sums is None and not self.recorder.ranks.are_many:
            msg = "record() needs losses that were accumulated, got none: call accumulate(losses)"
            raise ValueError(msg)
        sums = self._no_sums() if state.sums is None else state.sums
        self._record_sums(sums, extra, state.step if step is None else step)

    def _record_sums(self, sums: Tensor, extra: Mapping[str, Any], step: int) -> None:
        """Record a step whose losses are means over micro-batches and ranks."""
        recorder, reading, weighing = self.recorder, self.reading, self.weighing
        accumulated = recorder.state.extra.items()
        extra = {name: total / count for name, (total, count) in accumulated} | dict(extra)
        if recorder.ranks.are_many:
            sums = self._shared(sums)
        if reading.device is not None:
            is_nothing, sums = _is_nothing(sums), self._in_place(sums)
            means, samples, used = means_of(sums)
            batch = reading.device.read_means(means, used)
            if is_nothing:
                batch = batch._replace(given=[False] * len(means))
            weights, total = weighing.recalled(batch, step)
            total = torch.where(sums[2:].any(), total, 0.0)  # none has a sample, or some have
            self._record_later(batch, sums, weights, total, samples, extra, step)
        else:
            tallied = read_tally(sums.flatten().tolist())
            batch = reading.reader.read_means(tallied.losses, tallied.given, tallied.used)
            weights, total = weighing.recalled(batch, step)
            untold = weighing.untold(batch, weights) if weighing.has_memory else None
            recorder.take_in(batch, weights, total, tallied, extra, step, untold)
        self._end(batch)

    def _shared(self, sums: Tensor) -> Tensor:
        """The sums over the ranks, of the losses in the order that these agreed on."""
        losses, is_late = self.recorder.state.losses, self.reading.device is not None
        agreed, shared = self._share(sums)
        if not agreed:
            losses.reader.check_names({})  # raises, on every rank
        own = [name for name in losses.names if name not in agreed]
        self.reading.join(losses.of((*agreed, *own)))
        if is_late:
            self.reading.on(shared.device)
        if own:
            shared = torch.nn.functional.pad(shared, (0, len(own)))
        return shared

    def _share(
        self, sums: Tensor, error: Exception | None = None
    ) -> tuple[tuple[str, ...], Tensor]:
        names, is_late = self.recorder.state.losses.names, self.reading.device is not None
        return self.recorder.ranks.share(
            names,
            self._in_place(sums),
            self.weighing.weighting,
            error=error,
            is_late=is_late,
        )

    # What is known, and what survives a restart.

    def checked_extra(self, extra: Any) -> dict[str, Any]:
        """Numbers of the user's own, none of which has a name of ours."""
        own = read_metrics(extra)
        self._check_extra(own)
        return own

    def _check_extra(self, extra: Mapping[str, Any]) -> None:
        state = self.recorder.state
        state.losses.template.check_extra({**state.extra, **extra})

    def reset(self) -> None:
        """Forget every loss. The step goes on."""
        recorder, weighting = self.recorder, self.weighing.weighting
        recorder.wait()
        state, losses = recorder.state, recorder.state.losses
        records = losses.numbers_from((), ())
        self.reading.begin_with(StepState(state.step, losses, records, epoch=state.epoch))
        recorder.ranks.forget()
        if hasattr(weighting, "forget"):
            weighting.forget()


def _is_nothing(sums: Tensor | None) -> bool:
    """Whether the host knows that there is no loss in these sums."""
    return sums is None or (sums.is_cpu and not sums[2:].any())


def _added(
    sums: Mapping[str, tuple[Any, int]], extra: Mapping[str, Any]
) -> Mapping[str, tuple[Any, int]]:
    """Sum and count of each number of the user's own, with those of one more micro-batch."""
    new = dict(sums)
    for name, value in extra.items():
        total, count = sums.get(name, (0.0, 0))
        if isinstance(total, Tensor) and isinstance(value, Tensor):
            total = total.to(value.device)  # a loaded one is on the CPU
        new[name] = total + value, count + 1
    return new
