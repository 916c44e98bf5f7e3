"""Reading: where the losses of a group are, and how those of a step are read there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.accelerator._device_losses import DeviceLosses
from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._nonfinite import warn_empty
from multi_loss_weighting.batch._value import device_of, losses_by_name
from multi_loss_weighting.statistics._history import History
from multi_loss_weighting.tensors._grad_mode import without_grad

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multi_loss_weighting.batch._nonfinite import NonfinitePolicy

    from ._losses import LossSet
    from ._recorder import Recorder
    from ._step_state import StepState

    DeviceNumbers = tuple[tuple[str, ...], Tensor]
    """What is kept on a device alone, by name: its last bits differ from the host's."""

_CPU = torch.device("cpu")


class Reading:
    """Reads losses on the CPU at once, and those on an accelerator without a look at their values.

    There the weighting gets a history that is kept on the device.

    Args:
        recorder: Has the state of the step.
        nonfinite: What to do with a loss that is not finite.
        is_always_late: Whether losses on the CPU take the way of those on an accelerator, too.

    Attributes:
        reader: Reads the losses that there are.
        device: The losses on the accelerator where those of the last step were; None on the CPU.
    """

    def __init__(
        self, recorder: Recorder, nonfinite: NonfinitePolicy, *, is_always_late: bool
    ) -> None:
        self.recorder = recorder
        self.reader = recorder.state.losses.reader
        self.device: DeviceLosses | None = None
        self._nonfinite = nonfinite
        self._is_always_late = is_always_late
        self._saved: DeviceNumbers | None = None
        self._history = History((), ())
        self._has_warned = False

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the numbers of the device, and puts them there with its next losses."""
        return self.__dict__ | {"device": None, "_saved": self.device_numbers()}

    @property
    def place(self) -> torch.device:
        """Where the losses of the last step were."""
        return _CPU if self.device is None else self.device.device

    def use_readback(self) -> None:
        """Have losses on the CPU take the way of those on an accelerator, too."""
        self._is_always_late = True

    # The losses of a step.

    def read(self, losses: Mapping[str, Any]) -> Batch:
        """The losses of one step in order."""
        is_on_host = self.device is None and self._saved is None
        if is_on_host and not self._is_always_late and type(losses) is dict:
            batch = self.recorder.state.losses.reader.read_plain(losses)
            if batch is not None:
                return batch
        return self._read_any(losses)

    @without_grad
    def read_detached(self, losses: Mapping[str, Any]) -> Batch:
        """The losses of one step, of which no gradient is asked."""
        return self.read(losses)

    def read_nothing(self) -> Batch:
        """A step with none of the losses."""
        return (self.device or self.recorder.state.losses.reader).read_nothing()

    def read_vector(self, losses: Tensor) -> Batch:
        """Losses [K] that are all there, detached; one that is not finite is 0."""
        losses = losses.nan_to_num(0.0, 0.0, 0.0)
        if losses.is_cpu and self.device is None and not self._is_always_late:
            return Batch(losses, losses.tolist())
        device = self.place if losses.is_cpu else losses.device
        return self.on(device).read_means(losses.to(device))

    def _read_any(self, losses: Mapping[str, Any]) -> Batch:
        losses_by_name(losses)
        state = self.recorder.state
        joined = state.losses.joined(losses)
        if not losses and self.recorder.ranks.are_many:
            return (self.device or joined.reader).read_nothing()
        if self.can_read_now(losses):
            batch = joined.reader.read_carefully(losses, self._nonfinite.keeps())
            self.join(joined)
            if batch.losses.requires_grad and batch.present is not None and not batch.present.any():
                self._warn_empty(batch)
            return batch
        device = self._device_of(losses)
        if joined is not state.losses:
            joined.reader.check(losses, device)  # an error before anything joins
            self.join(joined)
        return self.on(device).read(losses, self._nonfinite.keeps())

    def can_read_now(self, losses: Mapping[str, Any]) -> bool:
        """Whether these losses need no readback. If so, those before them are taken in first."""
        if self._is_always_late or self._device_of(losses) != _CPU:
            return False
        self.recorder.wait()
        self.device, self._saved = None, None
        return True

    def _device_of(self, losses: Mapping[str, Any]) -> torch.device:
        """Where the losses are; plain numbers join those before them."""
        return device_of(losses) or self.place

    # Which losses there are.

    def _warn_empty(self, batch: Batch) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        try:
            warn_empty(dict(zip(self.reader.names, batch.values, strict=True)))
        except RuntimeWarning as error:  # Where warnings are errors, after the row.
            self.recorder.error = error

    def join(self, losses: LossSet) -> None:
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
        self.begin_with(
            state._replace(losses=losses, records=records, sums=sums, buffer=0), numbers
        )

    def go_back(self, before: StepState) -> None:
        """Where a step was not taken in, its new losses do not stay."""
        with self.recorder.lock:
            state = self.recorder.state
            if state.number == before.number and state.losses.names != before.losses.names:
                self.join(before.losses)

    def begin_with(self, state: StepState, saved: DeviceNumbers | None = None) -> None:
        """Continue from this state, with these numbers for the next losses on a device."""
        self.device, self._saved = None, saved
        self.recorder.state = state
        self.reader = state.losses.reader

    # What is known of them, where they are.

    def on(self, device: torch.device) -> DeviceLosses:
        """The losses on this device."""
        own = self.device
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
            self.recorder.change(buffer=0)
            self.device = own
        own.history.use(self.recorder.state.buffer)
        return own

    def history(self) -> History:
        """What the weighting knows, where the losses are."""
        state, device = self.recorder.state, self.device
        if device is not None:
            device.history.use(state.buffer)
            return device.history
        history = self._history
        if history.names is not state.losses.names:
            history = self._history = History(state.losses.names, state.records)
            history.are_given = state.losses.options.are_given
        history.records = state.records
        return history

    def device_numbers(self) -> DeviceNumbers | None:
        """The numbers that are kept on the device alone."""
        if self.device is None:
            return self._saved
        history = self.device.history
        history.use(self.recorder.state.buffer)
        return history.names, history.numbers()
