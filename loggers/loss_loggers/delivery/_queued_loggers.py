"""All the loggers of one `Background`, until the end."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from loss_loggers.arguments import checked, checked_count
from loss_loggers.base._process import before_end, begin_end, not_before_end
from loss_loggers.wrappers.every import Every
from loss_loggers.wrappers.tee import Tee

from ._backoff import LONGEST_DELAY
from ._queued_logger import QueuedLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.wrappers._guard import Guard

_MOMENT = 1.0
"""Seconds to close in for a logger that has all rows, where others have used up the time."""


class QueuedLoggers:
    """The queued loggers behind a `Tee`, and what still holds rows back before them.

    It outlives the `Background`, which may be forgotten before its rows have arrived.
    """

    def __init__(
        self, tee: Tee, path: Path | None, max_rows: int, interval: float, timeout: float
    ) -> None:
        max_rows = checked_count(max_rows, 1, "max_rows", "rows")
        is_short = lambda it: 0 < it <= LONGEST_DELAY  # noqa: E731
        needed = f"more than 0 and at most {LONGEST_DELAY:g} seconds"
        interval = checked(interval, is_short, "interval", needed)
        timeout = checked(timeout, lambda it: 0 <= it < inf, "timeout", "0 or more seconds")
        ends = list(_ends(tee))
        for guard in ends:
            _check_thread(guard.logger)
        if path is not None and len(ends) > 1:
            msg = f"one file keeps the rows of one logger, so {tee!r} needs a Background for each"
            raise ValueError(msg)
        for guard in ends:
            guard.logger = QueuedLogger(guard.logger, path, max_rows, interval)
        tees = list(_tees(tee))
        self._loggers = [
            g.logger for one in tees for g in one.guards if isinstance(g.logger, QueuedLogger)
        ]
        self._living = len(self._loggers)
        self._windows = [one for one in tees if isinstance(one, Every)]
        self._timeout = timeout
        self._deadline: float | None = None
        # Not left to a finalizer, which runs after the hooks that SDKs registered later: W&B and
        # others end their run in one.
        before_end(self._at_exit, self.begin)

    def __iter__(self) -> Iterator[QueuedLogger]:
        return iter(self._loggers)

    def begin(self) -> None:
        """Begin to deliver what is left; the time that the end may take runs from now on."""
        if self._deadline is None:
            self._deadline = monotonic() + self._timeout
        self._close_windows()
        for logger in self._loggers:
            logger.ask()

    def flush(self, timeout: float) -> bool:
        """Deliver what waits; whether nothing waits any more."""
        deadline = monotonic() + timeout
        requests = [logger.ask() for logger in self._loggers]
        for logger, request in zip(self._loggers, requests, strict=True):
            logger.wait(request, deadline)
        return not any(logger.pending for logger in self._loggers)

    def close(self, error: BaseException | None, timeout: float | None = None) -> None:
        """Deliver what waits, and end."""
        deadline = monotonic() + (self._left() if timeout is None else timeout)
        try:
            self._finish(error)
            for logger in self._loggers:
                logger.join(deadline)
        finally:
            # After Ctrl-C no other is waited for, and nothing is forgotten.
            for logger in self._loggers:
                logger.join(0.0)
            not_before_end(self._at_exit)

    def release(self) -> None:
        """Nobody holds the `Background` any more."""
        if self._deadline is None:
            self._finish(None)
        else:
            # The end of the interpreter: an `Every` before us has just sent its last row.
            self.close(None)

    def _at_exit(self) -> None:
        try:
            if self._deadline is None:
                begin_end()  # with all others, which share the time
            self._close_windows()
            self.flush(self._left())
        except KeyboardInterrupt:
            self._deadline = monotonic()  # The user has waited long enough.
            raise

    def _left(self) -> float:
        if self._deadline is None:
            return self._timeout
        moment = min(_MOMENT, self._timeout) * all(logger.has_all for logger in self._loggers)
        return max(self._deadline - monotonic(), moment)

    def _finish(self, error: BaseException | None) -> None:
        self._close_windows()
        for logger in self._loggers:
            logger.finish(error, self._one_is_over)

    def _one_is_over(self) -> None:
        """Once all threads have ended there is nothing to wait for, and nobody holds the rows."""
        self._living -= 1
        if not self._living:
            not_before_end(self._at_exit)

    def _close_windows(self) -> None:
        for every in self._windows:
            every.flush()


def _tees(tee: Tee) -> Iterator[Tee]:
    """This one and every `Tee` behind it, however deep."""
    yield tee
    for guard in tee.guards:
        if isinstance(guard.logger, Tee):
            yield from _tees(guard.logger)


def _ends(tee: Tee) -> Iterator[Guard]:
    """The guards of what is no `Tee` itself, and in no `Background` yet."""
    guards = (guard for one in _tees(tee) for guard in one.guards)
    return (guard for guard in guards if not isinstance(guard.logger, Tee | QueuedLogger))


def _check_thread(logger: object) -> None:
    if reason := _why_not(logger):
        name = getattr(logger, "__name__", type(logger).__qualname__)
        msg = f"{name} cannot leave the thread that trains: {reason}"
        raise TypeError(msg)


def _why_not(logger: object) -> str:
    """Why it may not be called from another thread; told by names, so that no SDK is imported."""
    if getattr(logger, "__name__", "") == "mlflow":
        return "its active run belongs to it. Pass MLflowLogger(run), which names the run"
    kinds = [f"{kind.__module__}.{kind.__qualname__}".lower() for kind in type(logger).__mro__]
    is_comet = any("comet" in kind for kind in kinds)
    reason = getattr(logger, "must_stay_on_thread", "") or is_comet * _COMET
    return f"{reason}. Thin it instead: Every(10, logger)" if reason else ""


_COMET = "the step of a Comet experiment belongs to all who log to it"
