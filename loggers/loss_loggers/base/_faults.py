"""Whose an error is that came out of somebody else's code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType


def is_the_users(error: BaseException) -> bool:
    """Whether it only passed through: Ctrl-C, or what a signal handler of the user's raised.

    A handler of SIGTERM that calls `sys.exit` ends training, in whatever logger the signal came.
    The same `SystemExit` from a logger itself does not.

    >>> is_the_users(KeyboardInterrupt()), is_the_users(SystemExit(1))
    (True, False)
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    handlers, trace = _handlers(), error.__traceback__
    while trace is not None and trace.tb_frame.f_code not in handlers:
        trace = trace.tb_next
    return trace is not None


def ended_well(error: BaseException | None) -> bool:
    """Whether work that ended with this error, or with none, came to its end.

    >>> ended_well(None), ended_well(SystemExit(0)), ended_well(SystemExit(1))
    (True, True, False)
    """
    return error is None or (isinstance(error, SystemExit) and not error.code)


def _handlers() -> set[CodeType | None]:
    """The code of the signal handlers; there are none where nobody has imported `signal`."""
    if "signal" not in sys.modules:
        return set()
    import signal

    return {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}


def _code(handler: Any) -> CodeType | None:
    """That of a function, of a method, or of an object that can be called."""
    for function in (handler, getattr(handler, "__func__", None), type(handler).__call__):
        if code := getattr(function, "__code__", None):
            return code  # type: ignore[no-any-return]
    return None
