"""What the host does not know yet of the steps on an accelerator, read back in one go."""

from __future__ import annotations

import os
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any

from loss_loggers import finalizer
from loss_loggers.arguments import checked_count
from multi_loss_weighting._warn import warn_user

from ._transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers import BaseLogger

    from ._owner import Entry

READ_EVERY = 50
"""Steps between two reads, where the host waits for a read."""
ATTEMPTS = 3
"""A read that fails so often in a row is let go, with its steps."""

_waiting: set[Readback] = set()
"""Those that still have rows to report, so that none is dropped with its group."""


class Readback:
    """Steps whose losses are still on their way from the device.

    `add` never waits. After `every` steps their tensors are packed into one and sent to the host,
    where the device allows while it goes on working; each step is taken in when they arrive, in
    order, with the time at which it was. At most two times `every` steps are held.

    Attributes:
        lock: Held by whoever changes the readback or one of its owners: a thread takes in the
            steps of all of them, so that a lock for each owner would not do.
        is_at_end: Whether the logger, or the process, has come to its end.

    Args:
        every: Steps between two reads.
        deliver: Called after steps were taken in: their rows can be reported.
    """

    def __init__(self, every: int, deliver: Callable[[], None]) -> None:
        self.every: int = checked_count(every, 1, "log_every", "steps")
        self.lock = RLock()
        self.is_at_end = False
        self._deliver = deliver
        # One attribute, so that no step is in both or in none, whoever interrupts.
        self._held: tuple[list[Entry], tuple[Transfer, list[Entry]] | None] = [], None
        self._failures = 0
        self._has_warned = False
        self._is_awaited = False

    def __len__(self) -> int:
        """How many steps the host does not know."""
        entries, sent = self._held
        return len(entries) + (0 if sent is None else len(sent[1]))

    def come_before_the_end_of(self, logger: BaseLogger) -> None:
        """Have the rows outlive their group, and come before the logger or the run ends."""
        self._is_awaited = True
        logger.before_close(LastCall(self))
        # The interpreter ends the youngest first, and so before the loggers that the rows go to.
        finalizer(self, LastCall(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy begins empty; who makes one waits for all of it before."""
        return Readback, (self.every, self._deliver)

    def add(self, entry: Entry) -> None:
        """Remember a step, which counts once its owner has it."""
        with self.lock:
            if self._is_awaited:
                _waiting.add(self)
            entries: list[Entry] | None = None
            while self._held[0] is not entries:  # they may be sent by the handler of a signal
                entries = self._held[0]
                entries.append(entry)

    def proceed(self) -> None:
        """Send what is due, and take in what has arrived, without waiting longer than needed."""
        with self.lock:
            try:
                if len(self._held[0]) >= self.every:
                    self._send()
                sent = self._held[1]
                if sent is not None and sent[0].has_arrived():
                    self._take_in()
            except RuntimeError as error:  # a device that is out of memory, or gone
                self._failed(error)

    def wait(self) -> None:
        """Wait for all of it.

        Raises:
            RuntimeError: If the device cannot be read; the steps stay for the next try.
        """
        with self.lock:
            try:
                self._send()
                self._take_in()
            except RuntimeError as error:
                self._failed(error)
                raise

    def wait_at_the_end(self) -> None:
        """Wait, or say what is lost: at the end of a run there may be no device any more."""
        with self.lock:
            self.is_at_end = True
            try:
                self._send()
                self._take_in()
            except Exception as error:  # whatever a device that is gone raises
                self._let_go(error)
            self._deliver()

    def _send(self) -> None:
        while (held := self._held)[1] is not None:  # or the handler of a signal has sent more
            self._take_in()  # It left `every` steps ago.
        count = len(held[0])
        due, begun = _due(held[0][:count])
        sent = (Transfer([entry.tensors for entry in due]), due) if due else None
        if self._held is held:  # The handler of a signal may have sent them meanwhile.
            self._held = [*begun, *held[0][count:]], sent

    def _take_in(self) -> None:
        sent = self._held[1]
        if sent is None:
            return
        values = sent[0].open()
        self._failures, self._has_warned = 0, False
        # Whoever interrupts it, or calls back, begins anew: each step is taken in once.
        for entry, own in zip(sent[1], values, strict=True):
            entry.owner.complete(entry, own)
        if self._held[1] is sent:
            self._held = self._held[0], None
        self._deliver()
        if not self:
            _waiting.discard(self)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._warn(
            f"the losses of {len(self)} steps could not be read back yet ({error}): after"
            f" {ATTEMPTS} failures in a row they are let go, and counted in `lost`"
        )
        if self._failures >= ATTEMPTS:
            self._let_go(error)

    def _let_go(self, error: Exception) -> None:
        entries, sent = self._held
        due, begun = _due(entries)
        gone = [*([] if sent is None else sent[1]), *due]
        for entry in gone:
            entry.owner.let_go(entry)
        self._held, self._failures = (begun, None), 0
        _waiting.discard(self)
        self._warn(f"the losses of the last {len(gone)} steps could not be read back ({error})")

    def _warn(self, text: str) -> None:
        """Once, until a read succeeds again; what is lost after it is counted."""
        if not self._has_warned:
            self._has_warned = True
            warn_user(text)


def _due(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those of steps that count, and those that were begun: they may be going on, or interrupted.

    Of two of one number the first was interrupted before it counted.
    """
    last: dict[tuple[int, int], Entry] = {}
    for entry in entries:
        key = id(entry.owner), entry.number
        last.pop(key, None)
        last[key] = entry
    due: list[Entry] = []
    begun: list[Entry] = []
    for entry in last.values():
        (due if entry.owner.has(entry) else begun).append(entry)
    return due, begun


class LastCall:
    """Waits for a readback that still is there; a copy of it has nothing to do."""

    def __init__(self, readback: Readback | None = None) -> None:
        self._readback = (lambda: None) if readback is None else weakref.ref(readback)
        self._owner = os.getpid()

    def __call__(self) -> None:
        readback = self._readback()
        # A forked process has a copy of what its parent is going to report.
        if readback is not None and os.getpid() == self._owner:
            readback.wait_at_the_end()

    def __reduce__(self) -> tuple[Any, ...]:
        return LastCall, ()
