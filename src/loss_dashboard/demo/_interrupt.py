"""Ctrl-C that lets the step under way finish."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class Interrupt:
    """Remembers Ctrl-C instead of raising, so that a loop ends between two steps.

    An exception would tear a step apart: a loss counted but not recorded. A second Ctrl-C raises.

    >>> with Interrupt() as interrupt:
    ...     interrupt.asked
    False
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        """Take over Ctrl-C."""
        self._previous = signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give Ctrl-C back."""
        signal.signal(signal.SIGINT, self._previous)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
