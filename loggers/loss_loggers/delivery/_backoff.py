"""Whether a backend is down, and when to try it again."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from loss_loggers.base._warn import in_short, warn

if TYPE_CHECKING:
    from ._delivery_log import DeliveryLog

LONGEST_DELAY = 60.0
"""Seconds between two attempts, at most."""

INTERVALS_UNTIL_DOWN = 3
"""A backend is down when it has failed for so many intervals: a short disturbance says nothing."""


class Backoff:
    """Tries again after one interval, two, four, …; warns once when it begins and when it ends."""

    def __init__(self, log: DeliveryLog, interval: float) -> None:
        self._log = log
        self._interval = interval
        self._failing_since = self._next = self._delay = 0.0
        self._error = ""
        self._is_known = self._is_told = self._said_kept = False

    @property
    def is_time(self) -> bool:
        """Whether the backend works, as far as is known, or may be tried again."""
        return monotonic() >= self._next

    @property
    def why(self) -> str:
        """What the backend does instead of taking rows."""
        return f"takes no rows ({self._error})" if self._error else "did not take all rows in time"

    def failed(self, error: BaseException, start: float) -> None:
        """A call that began at this time brought an error."""
        self._error = in_short(error)
        self._failing_since = self._failing_since or start
        self._delay = min(2 * self._delay or self._interval, LONGEST_DELAY)
        now = monotonic()
        self._next = now + self._delay
        if now - self._failing_since >= INTERVALS_UNTIL_DOWN * self._interval:
            self._is_known = True
            self._say(f"{self.why}. Training goes on; it is tried again, and what cannot wait")

    def over(self) -> None:
        """A call went well."""
        if self._is_known:
            kept = self._log.kept
            there = f"; {kept} rows are in {self._log.path}, for sync" if kept else ""
            warn(f"{self._log.name} takes rows again{there}")
        self._failing_since = self._next = self._delay = 0.0
        self._error = ""
        self._is_known = self._is_told = False

    def kept(self, why: str) -> None:
        """Rows had to go to the file, for this reason unless the backend fails."""
        if not self._said_kept and not self._is_told:
            self._said_kept = True
            why = self.why if self._error else why
            self._say(f"{why}. Training goes on; what it did not take")

    def _say(self, what: str) -> None:
        """Say it once, until a call goes well."""
        if not self._is_told:
            self._is_told = True
            warn(f"{self._log.name} {what} goes to {self._log.path}, for sync")
