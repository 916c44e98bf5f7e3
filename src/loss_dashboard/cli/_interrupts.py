"""Ctrl-C: it ends a command as shells expect, at any moment and without a word.

But at a question, where it is a no.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def interrupts_end_the_process() -> None:
    """From here on nothing is raised: libraries tell of it, or take it for an error of theirs."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interrupts_let_go() -> Iterator[None]:
    """Run what may hold files, a server or a screen, which it lets go of on Ctrl-C."""
    outside = signal.getsignal(signal.SIGINT)
    ends = outside is signal.SIG_DFL
    try:
        try:
            if ends:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            yield
        finally:
            if ends:
                signal.signal(signal.SIGINT, outside)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
