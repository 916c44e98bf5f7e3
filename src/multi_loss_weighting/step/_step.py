"""Step: the way of the losses of a step, from what came in to what is recorded."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multi_loss_weighting.accelerator._device_losses import DeviceLosses
from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._value import (
    checked_samples,
    checked_step,
    device_of,
    losses_by_name,
    read_metrics,
)
from multi_loss_weighting.distributed._sums import means_of, read_tally, tally
from multi_loss_weighting.statistics._history import History, shown
from multi_loss_weighting.statistics._widest import widest
from multi_loss_weighting.weighting._base import Weighted, checked_weighted

from ._backward import run_backward
from ._memory import Weighed, as_list, as_tensor, as_vector, recall, remember, weighed
from ._recorder import StepState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting.weighting._base import Weighting

    from ._backward import Backward
    from ._losses import LossSet
    from ._recorder import Recorder

_CPU = torch.device("cpu")
_OURS = "multi_loss_weighting."


class Step:
    """Reads the losses of each step, weighs them, calls backward, and has them recorded.

    Losses on the CPU are read at once. On an accelerator a step leaves what it has to tell to the
    readback, and the weighting gets a history that is kept there. Where there are several
    micro-batches or ranks, their mean counts as the loss of the step.

    Args:
        weighting: How to weigh.
        recorder: Takes in what was weighed.
        backward: Called with the total instead of its own backward.
        keeps_nonfinite: Whether a loss that is not finite stays in the objective.
        is_always_late: Whether losses on the CPU take the way of those on an accelerator, too.
    """

    def __init__(
        self,
        weighting: Weighting,
        recorder: Recorder,
        *,
        backward: Backward | None,
        keeps_nonfinite: Callable[[], bool],
        is_always_late: bool,
    ) -> None:
        self.weighting = weighting
        self.recorder = recorder
        self.reader = recorder.state.losses.reader
        self._backward = backward
        self._keeps_nonfinite = keeps_nonfinite
        self._is_always_late = is_always_late
        self._device: DeviceLosses | None = None
        self._saved: tuple[tuple[str, ...], Tensor] | None = None
        self._history = History((), ())

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the numbers of the device, and puts them there with its next losses."""
        self.settle()
        own = {key: value for key, value in self.__dict__.items() if key != "weigh"}
        return own | {"_device": None, "_saved": self.device_numbers()}

    def weigh_by(self, weighting: Weighting) -> None:
        """Have another weighting from now on, with the statistics that are known.

        Raises:
            ValueError: If it is made for fewer losses than there are; nothing has changed.
        """
        if weighting is self.weighting:
            return
        with self.recorder.lock:
            self.settle()  # what is to be told is for the one before
            self._join(self.recorder.state.losses.for_weighting(weighting))
            self.weighting = weighting

    # A step.

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
        own = read_metrics(extra) if extra is not None else {}
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        before = recorder.state
        try:
            with recorder.lock:
                at = recorder.state.step if step is None else checked_step(step)
                try:
                    batch = self.read(losses)
                except Exception as error:
                    self._tell(error)
                    raise
                if own:
                    self._check_extra(own)
                if do_backwards and not batch.losses.requires_grad:
                    raise ValueError(self._why_no_backward(losses))
                weighted = self.weigh(batch, at)
            total, weights = weighted
            used, is_handed_out = total, True
            if do_backwards:
                if self._backward is not None:  # which may write to the total
                    used, is_handed_out = total.detach().clone(), False
                total = run_backward(total, self._backward, retain_graph)
            self.record(batch, weights, used, samples, own, step, is_handed_out=is_handed_out)
        except Exception:
            self._go_back(before)
            raise
        return total

    def read(self, losses: Mapping[str, Any]) -> Batch:
        """The losses of one step in order."""
        is_on_host = self._device is None and self._saved is None
        if is_on_host and not self._is_always_late and type(losses) is dict:
            batch = self.recorder.state.losses.reader.read_plain(losses)
            if batch is not None:
                return batch
        return self._read_any(losses)

    # As a decorator: Ctrl-C in a `with` of ours might keep torch from leaving this mode.
    @torch.no_grad()
    def _read_detached(self, losses: Mapping[str, Any]) -> Batch:
        return self.read(losses)

    def _go_back(self, before: StepState) -> None:
        """Where a step was not taken in, its new losses do not stay."""
        with self.recorder.lock:
            state = self.recorder.state
            if state.number == before.number and state.losses.names != before.losses.names:
                self._join(before.losses)

    def _read_any(self, losses: Mapping[str, Any]) -> Batch:
        losses_by_name(losses)
        state = self.recorder.state
        joined = state.losses.joined(losses)
        if not losses and joined.names and self.recorder.ranks.are_many:
            return (self._device or joined.reader).read_nothing()
        if self.can_read_now(losses):
            batch = joined.reader.read_carefully(losses, self._keeps_nonfinite())
            self._join(joined)
            return batch
        device = self._device_of(losses)
        if joined is not state.losses:
            joined.reader.check(losses, device)  # an error before anything joins
            self._join(joined)
        return self._on(device).read(losses, self._keeps_nonfinite())

    def _tell(self, error: Exception) -> None:
        """Where there are ranks, none of the others shall wait for one that stops."""
        state = self.recorder.state
        if self.recorder.ranks.are_many:
            size = (4, len(state.losses))
            sums = torch.zeros(size, dtype=torch.float64, device=self._place())
            self.recorder.ranks.share(state.losses.names, sums, self.weighting, error=error)

    def _place(self) -> torch.device:
        return _CPU if self._device is None else self._device.device

    def _join(self, losses: LossSet) -> None:
        """Have new losses, or another order; nothing else changes."""
        state = self.recorder.state
        if losses is state.losses:
            return
        self.recorder.wait()
        state = self.recorder.state
        numbers = self.device_numbers()
        records = losses.numbers_from(state.losses.names, state.records)
        sums = state.sums
        if sums is not None:
            places = [
                state.losses.names.index(name) if name in state.losses.names else len(state.losses)
                for name in losses.names
            ]
            sums = torch.nn.functional.pad(sums, (0, 1))[:, places]
        self._device, self._saved = None, numbers
        self.recorder.state = state._replace(losses=losses, records=records, sums=sums, buffer=0)
        self.reader = losses.reader

    def can_read_now(self, losses: Mapping[str, Any]) -> bool:
        """Whether these losses need no readback. If so, those before them are taken in first."""
        if self._is_always_late or self._device_of(losses) != _CPU:
            return False
        self.recorder.wait()
        self._device, self._saved = None, None
        return True

    def _device_of(self, losses: Mapping[str, Any]) -> torch.device:
        """Where the losses are; plain numbers join those before them."""
        return device_of(losses) or self._place()

    def use_readback(self) -> None:
        """Have losses on the CPU take the way of those on an accelerator, too."""
        self._is_always_late = True

    def _on(self, device: torch.device) -> DeviceLosses:
        """The losses on this device."""
        own = self._device
        if own is None or own.device != device:
            saved = self.device_numbers()
            self.recorder.wait()
            state = self.recorder.state
            own = DeviceLosses(
                state.losses.reader,
                state.records,
                state.losses.options.settings.ratio,
                device,
                self.recorder.wait,
            )
            own.history.are_given = state.losses.options.are_given
            if saved is not None:
                own.history.load_numbers(*saved)
            self.recorder.state = state._replace(buffer=0)
            self._device = own
        own.history.use(self.recorder.state.buffer)
        return own

    def history(self) -> History:
        """What the weighting knows, where the losses are."""
        state, device = self.recorder.state, self._device
        if device is not None:
            device.history.use(state.buffer)
            return device.history
        history = self._history
        if history.names is not state.losses.names:
            history = self._history = History(state.losses.names, state.records)
            history.are_given = state.losses.options.are_given
        history.records = state.records
        return history

    def weigh(self, batch: Batch, step: int) -> Weighted:
        """The objective of a step."""
        if self.recorder.state.untold is not None:
            self._tell_weighting()
        if batch.raw is not None and isinstance(self.weighting, nn.Module):
            _check_device(self.weighting, batch.raw.device)
        state, history = self.recorder.state, self._history
        if self._device is None and history.names is state.losses.names:
            history.records = state.records
        else:
            history = self.history()
        history.step, history.present = step, batch.present
        result = self.weighting.weigh(batch.losses, history)
        result = checked_weighted(result, self.weighting, history.names, is_finite=batch.is_plain)
        if type(result.weights) is list:
            return result
        if batch.raw is None or not isinstance(result.weights, Tensor):
            return Weighted(result.total, as_list(result.weights))
        # One of the user's may write to its weights again before they are read back; ours make new
        # ones, and each copy is a launch.
        if type(self.weighting).__module__.startswith(_OURS):
            return result
        return Weighted(result.total, result.weights.detach().clone())

    def observe(self, look: Callable[[Tensor, tuple[str, ...], int], bool]) -> None:
        """Show `look` the losses of each step before they are weighed, until it says True.

        It stands before `weigh`, so that a step that nobody looks at costs nothing.
        """

        def weigh(batch: Batch, step: int) -> Weighted:
            state = self.recorder.state
            if look(batch.losses, state.losses.names, state.number):
                self.__dict__.pop("weigh", None)
            return Step.weigh(self, batch, step)

        self.__dict__["weigh"] = weigh

    def weigh_and_remember(self, losses: Mapping[str, Any], step: int | None) -> Tensor:
        """The objective of a step, whose weights the next record is told."""
        recorder = self.recorder
        with recorder.lock:
            before = recorder.state
            at = before.step if step is None else checked_step(step)
            batch = self.read(losses)
            try:
                weighted = self.weigh(batch, at)
            except Exception:
                self._go_back(before)
                raise
            if torch.is_grad_enabled():
                state = recorder.state
                new = weighed(state.losses.names, batch, weighted)
                recorder.state = state._replace(remembered=remember(state.remembered, new))
        return weighted.total

    def weights_for(self, losses: Tensor, given: list[bool] | None, remembers: bool) -> Tensor:
        """The weights [K] of the step for compiled code, which the next record is told.

        It knows the weights, and not the objective.
        """
        with self.recorder.lock:
            state = self.recorder.state
            weights = as_vector(self.weights(losses, state.step)).to(losses, non_blocking=True)
            if remembers:
                own = weights.tolist() if weights.is_cpu else weights.clone()
                now = losses.tolist() if losses.is_cpu else losses.clone()
                new = Weighed(state.losses.names, given, own, None, now)
                kept = remember(state.remembered, new)
                self.recorder.state = self.recorder.state._replace(remembered=kept)
        return weights.clone()

    def weights(self, losses: Tensor, step: int) -> Any:
        """The weights of a step of losses [K] that are all there; 0 for one that is not known."""
        losses = losses.nan_to_num(0.0, 0.0, 0.0)
        if losses.is_cpu and self._device is None and not self._is_always_late:
            batch = Batch(losses, losses.tolist())
        else:
            device = self._place() if losses.is_cpu else losses.device
            batch = self._on(device).read_means(losses.to(device))
        return self.weigh(batch, step).weights

    def statistic_of(self, name: str, device: torch.device) -> Tensor:
        """One number of each loss for compiled code, a vector [K] of its own."""
        with self.recorder.lock:
            vector = torch.as_tensor(shown(self.history(), name))
            return vector.to(device, widest(device), copy=True)

    def _why_no_backward(self, losses: Mapping[str, Any]) -> str:
        names = ", ".join(losses) or "no loss"
        msg = f"update calls backward, but none of {names} has a gradient: pass do_backwards=False"
        if self.recorder.ranks.are_many:
            return f"{msg}, and give DDP, which waits, a backward of 0 times the sum of parameters"
        return f"{msg} to track them only"

    # A step is recorded.

    def record_losses(
        self, losses: Mapping[str, Any] | None, step: int | None, extra: Any, samples: Any
    ) -> None:
        """Record a step that was weighed before, or was not weighed at all."""
        own = read_metrics(extra) if extra is not None else {}
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        with self.recorder.lock:
            step = None if step is None else checked_step(step)
            if losses is None:
                self._record_accumulated(own, step)
                return
            before = self.recorder.state
            try:
                try:
                    batch = self._read_detached(losses)
                except Exception as error:
                    self._tell(error)
                    raise
                if own:
                    self._check_extra(own)
                self.record(batch, None, None, samples, own, step)
            except Exception:
                self._go_back(before)
                raise

    def record(
        self,
        batch: Batch,
        weights: Any,
        total: Tensor | None,
        samples: Any,
        extra: Mapping[str, Any],
        step: int | None,
        *,
        is_handed_out: bool = False,
    ) -> None:
        """Record a step, which ends the micro-batches before it; `weights` if they are known.

        `is_handed_out` says that the user has the total, and may change it.
        """
        recorder = self.recorder
        with recorder.lock:
            if recorder.state.untold is not None:
                self._tell_weighting()
            state = recorder.state
            at = state.step if step is None else step
            if state.sums is not None or recorder.ranks.are_many or isinstance(samples, Tensor):
                used = None if weights is None else (batch, weights, total)
                self._record_sums(self._with(batch, samples), extra, at, used)
                return
            if not samples:
                batch = (self._device or state.losses.reader).read_nothing()
                total = batch.losses.new_zeros(())
            if weights is None:
                weights, total = self._recalled(batch, at)
            if batch.raw is None:
                untold = (
                    self._untold(batch, weights) if hasattr(self.weighting, "recorded") else None
                )
                recorder.take_in(batch, weights, total, samples, extra, at, untold)
            else:
                self._record_later(
                    batch, batch.raw, weights, total, samples, extra, at, is_handed_out
                )
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
        is_handed_out: bool,
    ) -> None:
        device = self._device
        assert device is not None
        assert batch.raw is not None
        if not isinstance(total, Tensor):
            total = as_tensor(total, batch.raw)
        elif total.requires_grad:
            total = total.detach()
        if is_handed_out:
            total = total.clone()
        is_tally = measured is not batch.raw
        finite: Any = partial(device.are_finite, batch.raw, batch.given)
        if is_tally:
            finite = partial(torch.eq, measured[3].sum(), 0)
        buffer = device.history.prepare(batch.raw, samples)
        count = None if is_tally else samples
        untold = self._untold(batch, weights) if hasattr(self.weighting, "recorded") else None
        self.recorder.take_in_later(
            batch, measured, weights, total, count, extra, step, buffer, finite, untold
        )
        device.history.use(buffer)

    def _untold(self, batch: Batch, weights: Any) -> Any:
        """What a weighting with a memory of its own is to be told of a step."""
        return iter((batch.losses.detach(),)), iter((as_vector(weights),))

    def _tell_weighting(self) -> None:
        """Tell it, unless it was told before."""
        untold, hook = self.recorder.state.untold, getattr(self.weighting, "recorded", None)
        if untold is not None and hook is not None:
            # In C, so that no interrupt comes between the call and the note that it was made.
            next(map(hook, *untold, repeat(self.history())), None)
        self.recorder.state = self.recorder.state._replace(untold=None)

    def _end(self, batch: Batch) -> None:
        """Tell a weighting with a memory of its own, and raise what is to be raised."""
        self.history().present = batch.present
        self._tell_weighting()
        self.recorder.raise_error()

    def settle(self) -> None:
        """Finish what was taken in: what is on its way, or was kept back by an interrupt."""
        with self.recorder.lock:
            if self.recorder.state.untold is not None:
                self._tell_weighting()
            self.recorder.wait()
            self.recorder.resume()

    @torch.no_grad()
    def _recalled(self, batch: Batch, step: int) -> tuple[Any, Any]:
        """The weights and the objective of a step, as `weigh` used them."""
        state = self.recorder.state
        ask = partial(self.weigh, batch, step)
        weights, total = recall(state.remembered, state.losses.names, batch, ask)
        return weights, total

    # Micro-batches and ranks.

    def accumulate(self, losses: Mapping[str, Any], samples: Any, extra: Any) -> None:
        """Add one micro-batch to the step."""
        samples = checked_samples(samples)
        own = self.checked_extra(extra) if extra is not None else {}
        with self.recorder.lock:
            batch = self._read_detached(losses)
            sums = self._with(batch, samples)
            state = self.recorder.state
            self.recorder.state = state._replace(sums=sums, extra=_added(state.extra, own))

    def forget_accumulated(self) -> None:
        """Take back the micro-batches since the last step."""
        self.recorder.state = self.recorder.state._replace(sums=None, remembered=(), extra={})

    def _with(self, batch: Batch, samples: Any) -> Tensor:
        """The sums of the step with one more micro-batch."""
        if batch.raw is None:
            losses = torch.tensor(batch.values, dtype=torch.float64, device=_CPU)
        else:
            losses = batch.raw.to(widest(batch.raw.device))
        sums = tally(losses, batch.given, samples)
        earlier = self.recorder.state.sums
        return sums if earlier is None else earlier.to(sums) + sums

    def _record_accumulated(self, extra: Mapping[str, Any], step: int | None) -> None:
        state = self.recorder.state
        sums = state.sums
        if sums is None:
            if not self.recorder.ranks.are_many:
                msg = (
                    "record() needs losses that were accumulated, got none: call accumulate(losses)"
                )
                raise ValueError(msg)
            sums = torch.zeros(4, len(state.losses), dtype=torch.float64, device=self._place())
        self._record_sums(sums, extra, state.step if step is None else step, None)

    def _record_sums(
        self, sums: Tensor, extra: Mapping[str, Any], step: int, used: tuple[Any, Any, Any] | None
    ) -> None:
        """Record a step whose losses are means over micro-batches and ranks."""
        recorder = self.recorder
        accumulated = recorder.state.extra.items()
        extra = {name: total / count for name, (total, count) in accumulated} | dict(extra)
        self._check_extra(extra)
        is_late = self._device is not None
        if used is not None:
            self._remember_used(*used)
        if recorder.ranks.are_many:
            sums = self._shared(sums, is_late)
        if is_late:
            assert self._device is not None
            means, samples = means_of(sums)
            batch = self._device.read_means(means)
            weights, total = self._recalled(batch, step)
            self._record_later(batch, sums, weights, total, samples, extra, step, False)
        else:
            tallied = read_tally(sums.flatten().tolist())
            batch = recorder.state.losses.reader.read_means(tallied.losses, tallied.given)
            weights, total = self._recalled(batch, step)
            untold = self._untold(batch, weights) if hasattr(self.weighting, "recorded") else None
            recorder.take_in(batch, weights, total, tallied, extra, step, untold)
        self._end(batch)

    def _remember_used(self, batch: Batch, weights: Any, total: Tensor) -> None:
        state = self.recorder.state
        new = weighed(state.losses.names, batch, Weighted(total, weights))
        self.recorder.state = state._replace(remembered=remember(state.remembered, new))

    def _shared(self, sums: Tensor, is_late: bool) -> Tensor:
        """The sums over the ranks, of the losses in the order that these agreed on."""
        state = self.recorder.state
        names = state.losses.names
        agreed, shared = self.recorder.ranks.share(names, sums, self.weighting, is_late=is_late)
        own = [name for name in names if name not in agreed]
        self._join(state.losses.of((*agreed, *own)))
        if is_late and self._device is None:
            self._on(sums.device)
        if own:
            shared = torch.nn.functional.pad(shared, (0, len(own)))
        return shared

    # What is known, and what survives a restart.

    def checked_extra(self, extra: Any) -> dict[str, Any]:
        """Numbers of the user's own, none of which has a name of ours."""
        own = read_metrics(extra)
        self._check_extra(own)
        return own

    def _check_extra(self, extra: Mapping[str, Any]) -> None:
        self.recorder.state.losses.template.check_extra(extra)

    def device_numbers(self) -> tuple[tuple[str, ...], Tensor] | None:
        """What is kept on the device alone, by name: its last bits differ from the host's."""
        if self._device is None:
            return self._saved
        history = self._device.history
        history.use(self.recorder.state.buffer)
        return history.names, history.numbers()

    def begin_with(
        self, state: StepState, saved: tuple[tuple[str, ...], Tensor] | None = None
    ) -> None:
        """Continue from this state, with these numbers for the next losses on a device."""
        self.recorder.state = state
        self.reader = state.losses.reader
        self._device, self._saved = None, saved

    def reset(self) -> None:
        """Forget every loss. The step goes on."""
        recorder = self.recorder
        recorder.wait()
        state, losses = recorder.state, recorder.state.losses
        records = losses.numbers_from((), ())
        self.begin_with(StepState(state.step, losses, records, epoch=state.epoch))
        recorder.ranks.forget()
        if hasattr(self.weighting, "forget"):
            self.weighting.forget()


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


def _check_device(weighting: nn.Module, device: torch.device) -> None:
    for parameter in weighting.parameters():
        if parameter.device != device:
            msg = (
                f"the losses are on {device} and the learned weights on {parameter.device}: call"
                f" group.to({str(device)!r}) before they go to the optimizer"
            )
            raise ValueError(msg)
