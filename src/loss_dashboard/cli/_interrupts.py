"""Ctrl-C: it ends a command as shells expect, at any moment and without a word.

Except at a question, where it is a no.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def interrupts_end_the_process() -> None:
    """From here on nothing is raised: libraries tell of it, or take it for an error of theirs."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def let_go_on_interrupt(run: Callable[[], T]) -> T:
    """Run what may hold files, a server or a screen, which it lets go of on Ctrl-C.

    No context manager: an interrupt in `contextlib` would come behind its `except`.
    """
    ends = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    try:
        try:
            if ends:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            return run()
        finally:
            if ends:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
