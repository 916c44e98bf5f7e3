"""What the host does not know yet of the steps on an accelerator, read back in one go."""

from __future__ import annotations

import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._means import widest

if TYPE_CHECKING:
    from loss_loggers import Row
    from loss_loggers._base import BaseLogger

LOG_EVERY = 50
"""Steps between two reads, where the host waits for a read."""

TakeIn = Callable[..., "dict[str, Any] | None"]
"""Gets the values of its tensors, a list each, and gives the row of the step, if there is one."""

_waiting: set[Backlog] = set()
"""Those that still have rows to report, so that none is dropped with its group."""


class Backlog:
    """Steps whose losses are still on their way from the device.

    `add` never waits. After `every` steps their tensors are packed into one and sent to the host,
    where the device allows while it goes on working; each step is taken in when they arrive, in
    order, with the time at which it was. At most two times `every` steps are held.

    Args:
        every: Steps between two reads.
        deliver: Gets the rows of the steps that were taken in.
    """

    def __init__(self, every: int, deliver: Callable[[list[Row]], None]) -> None:
        if every < 1:
            msg = f"log_every counts the steps between two reads, so it is 1 or more; got {every}"
            raise ValueError(msg)
        self.every = every
        self._deliver = deliver
        self._steps: list[_Step] = []
        self._parcel: _Parcel | None = None
        self._arrived: deque[tuple[_Step, list[list[float]]]] = deque()
        self._is_busy = False
        self._is_awaited = False

    def __bool__(self) -> bool:
        """Whether there is anything that the host does not know, and is not just taking in."""
        return not self._is_busy and bool(self._steps or self._parcel or self._arrived)

    def __len__(self) -> int:
        """How many steps the host does not know."""
        sent = 0 if self._parcel is None else len(self._parcel)
        return len(self._arrived) + sent + len(self._steps)

    def come_before_the_end_of(self, logger: BaseLogger) -> None:
        """Have the rows outlive their group, and come before the logger or the run ends."""
        self._is_awaited = True
        logger.before_close(LastCall(self))
        # The interpreter ends the youngest first, and so before the loggers that the rows go to.
        weakref.finalize(self, LastCall(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy begins empty; who makes one catches up before."""
        return Backlog, (self.every, self._deliver)

    def add(self, step: int, tensors: Sequence[Tensor], take_in: TakeIn) -> None:
        """A step whose `tensors` are on the device; none of them may change later."""
        if self._is_awaited:
            _waiting.add(self)
        self._steps.append(_Step(step, time(), tensors, take_in))
        if len(self._steps) >= self.every:
            self._send()
        if self._parcel is not None and self._parcel.has_arrived():
            self._take_in()

    def catch_up(self) -> None:
        """Wait for all of it."""
        self._send()
        self._take_in()

    def try_to_catch_up(self) -> None:
        """Catch up, or say what is lost: at the end of a run there may be no device any more."""
        count = len(self)
        try:
            self.catch_up()
        except Exception as error:  # whatever a device that is gone raises
            self._steps, self._parcel = [], None
            _waiting.discard(self)
            msg = f"the losses of the last {count} steps could not be read back ({error})"
            warnings.warn(msg, RuntimeWarning, stacklevel=2)

    def _send(self) -> None:
        self._take_in()  # The parcel before, if there is one: it left `every` steps ago.
        if self._steps:
            self._parcel, self._steps = _Parcel(self._steps), []

    def _take_in(self) -> None:
        if self._parcel is not None:
            self._arrived.extend(self._parcel.open())
            self._parcel = None
        rows: list[Row] = []
        self._is_busy = True
        try:
            while self._arrived:  # Whoever interrupts it finds the rest there.
                step, values = self._arrived.popleft()
                row = step.take_in(*values)
                if row is not None:
                    rows.append((step.number, step.time, row))
        finally:
            self._is_busy = False
            if rows:
                self._deliver(rows)
        if not self._steps:
            _waiting.discard(self)


class LastCall:
    """Catches up with a backlog that still is there; a copy of it has nothing to do."""

    def __init__(self, backlog: Backlog | None = None) -> None:
        self._backlog = (lambda: None) if backlog is None else weakref.ref(backlog)
        self._owner = os.getpid()

    def __call__(self) -> None:
        backlog = self._backlog()
        # A forked process has a copy of what its parent is going to report.
        if backlog is not None and os.getpid() == self._owner:
            backlog.try_to_catch_up()

    def __reduce__(self) -> tuple[Any, ...]:
        return LastCall, ()


class _Step:
    def __init__(
        self, number: int, moment: float, tensors: Sequence[Tensor], take_in: TakeIn
    ) -> None:
        self.number = number
        self.time = moment
        self.tensors = tensors
        self.take_in = take_in


class _Parcel:
    """The tensors of some steps, packed into one for each device and on their way to the host."""

    def __init__(self, steps: list[_Step]) -> None:
        self._steps = steps
        self._kinds: dict[torch.device, dict[Any, list[Tensor]]] = {}
        for step in steps:
            for tensor in step.tensors:
                kinds = self._kinds.setdefault(tensor.device, {})
                kinds.setdefault(_kind(tensor), []).append(tensor)
        with torch.no_grad():
            self._sent = {
                device: _sent(torch.cat([_flat(same, device) for same in kinds.values()]))
                for device, kinds in self._kinds.items()
            }

    def __len__(self) -> int:
        return len(self._steps)

    def has_arrived(self) -> bool:
        events = (event for _, event in self._sent.values() if event is not None)
        return all(event.query() for event in events)  # type: ignore[no-untyped-call]

    def open(self) -> Iterator[tuple[_Step, list[list[float]]]]:
        """Each step and the values of its tensors."""
        values = {device: self._values(device) for device in self._kinds}
        for step in self._steps:
            yield step, [next(values[tensor.device][_kind(tensor)]) for tensor in step.tensors]

    def _values(self, device: torch.device) -> dict[Any, Iterator[list[float]]]:
        packed, event = self._sent[device]
        if event is not None:
            event.synchronize()
        kinds = self._kinds[device]
        parts = torch.split(packed, [len(same) * same[0].numel() for same in kinds.values()])
        return {
            kind: iter(part.reshape(len(same), -1).tolist())
            for (kind, same), part in zip(kinds.items(), parts, strict=True)
        }


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    return tensor.dtype, tensor.shape


def _flat(tensors: list[Tensor], device: torch.device) -> Tensor:
    return torch.stack(tensors).reshape(-1).to(widest(device))


def _sent(packed: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A copy on the host, and the event that says when it is whole."""
    if not packed.is_cuda:
        return packed.cpu(), None
    copy = packed.to("cpu", non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(packed.device))
    return copy, event
