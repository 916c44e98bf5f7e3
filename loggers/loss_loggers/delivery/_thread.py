"""The thread that delivers what waits."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING

from loss_loggers.base._warn import in_short, warn
from loss_loggers.wrappers._ending import end

from ._backoff import Backoff
from ._sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from loss_loggers.base._protocol import Logger

    from ._queue import DeliveryQueue

ROOM = 0.75
"""How full the queue may be after an attempt, so that a row finds room when it comes."""


class DeliveryThread:
    """A daemon thread, started when there is work.

    It wakes by itself after every interval, or when many rows wait: to wake it with each row would
    cost the thread that trains more than the row does.
    """

    def __init__(self, logger: Logger, queue: DeliveryQueue, interval: float) -> None:
        self.backoff = Backoff(queue.log, interval)
        self.is_started = False
        self._logger = logger
        self._queue = queue
        self._sender = Sender(logger, queue, self.backoff)
        self._interval = interval
        self._thread = Thread(target=self._run, name="loss_loggers.Background", daemon=True)
        self._asked = self._answered = 0
        self._is_last = self._is_over = self._said_error = False
        self._error: BaseException | None = None
        self._then: Callable[[], object] = int

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._queue.lock:
            if not self.is_started:
                self.is_started = True
                # At the end of the interpreter none can be started: the rows go to the file.
                with suppress(RuntimeError):
                    self._thread.start()

    def ask(self) -> int:
        """Deliver now, even to a backend that has just failed; the number of this request."""
        with self._queue.lock:
            self._asked += 1
            self._queue.lock.notify_all()
            return self._asked

    def wait(self, request: int, deadline: float) -> None:
        """Wait until it was met, or tried."""

        def is_met() -> bool:
            is_answered = self._answered >= request
            return is_answered or self._is_over or not self._thread.is_alive()

        with self._queue.lock:
            self._queue.lock.wait_for(is_met, max(0.0, deadline - monotonic()))

    def finish(self, error: BaseException | None, then: Callable[[], object]) -> None:
        """Deliver what is left, call `then`, and end."""
        self._error, self._then, self._is_last = error, then, True
        if self.is_started:
            self.ask()
        else:
            self._end()

    def join(self, deadline: float) -> None:
        """Wait for the end; what is left then goes to the file."""
        try:
            if self._thread.is_alive() and self._thread is not current_thread():
                self._thread.join(max(0.0, deadline - monotonic()))
        finally:
            # After Ctrl-C too: the user has waited long enough.
            self._keep_rest()

    def _run(self) -> None:
        while self._turn():
            pass
        self._end()

    def _turn(self) -> bool:
        """Deliver once; whether there is another turn."""
        asked, is_last = self._next()
        try:
            self._deliver(asked)
        except BaseException as error:  # whatever it is, the rows that come are to be delivered
            self._survive(error)
        with self._queue.lock:
            self._answered = asked
            self._queue.lock.notify_all()
        return not is_last

    def _deliver(self, asked: int) -> None:
        if asked > self._answered or self.backoff.is_time:
            self._sender.send()
        if self._queue.keep_all_but(int(ROOM * self._queue.max_rows)):
            self.backoff.kept(self.backoff.why)
        self._queue.log.save()

    def _survive(self, error: BaseException) -> None:
        """Try again later what an error beside the backend came into; it is said once."""
        self._queue.give_back()
        self.backoff.failed(error, monotonic())
        if not self._said_error:
            self._said_error = True
            name = self._queue.log.name
            warn(f"the delivery to {name} met an error ({in_short(error)}). It is tried again")

    def _next(self) -> tuple[int, bool]:
        """Wait for the next turn; what was asked for by then, and whether it is the last one."""
        with self._queue.lock:
            is_crowded = self._queue.is_crowded and self.backoff.is_time
            if self._asked == self._answered and not is_crowded:
                self._queue.lock.wait(self._interval)
            return self._asked, self._is_last

    def _end(self) -> None:
        try:
            with suppress(BaseException):  # the logger is to end, whatever the file does
                self._keep_rest()
            with suppress(BaseException):  # anything at all: this is somebody else's code
                end(self._logger, self._error)
            self._then()
        finally:
            with self._queue.lock:  # whoever asked during the last turn still waits
                self._is_over = True
                self._queue.lock.notify_all()

    def _keep_rest(self) -> None:
        if self._queue.keep_all():
            self.backoff.kept(self.backoff.why)
        self._queue.log.close()
