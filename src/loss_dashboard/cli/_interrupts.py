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
    """Let Ctrl-C end the process, without an exception that a library might report or swallow."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def let_go_on_interrupt(run: Callable[[], T]) -> T:
    """Run what may hold files, a server or a screen: Ctrl-C raises in it, so that it closes them.

    This is no context manager, since an interrupt inside `contextlib` would escape the `except`.
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
