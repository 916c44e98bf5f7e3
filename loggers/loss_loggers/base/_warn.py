"""Warnings that stop nothing, and the words for an error."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress

from loss_loggers.text import printable

_OURS = ("loss_loggers", "multi_loss_weighting", "loss_dashboard")
_LONGEST = 200


def warn(message: str) -> None:
    """Warn at the line of the user's code; where warnings are errors, say it on standard error.

    A row is recorded in the middle of a step, or in a thread that has nobody to raise to.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warn("the disk is full")
    >>> [str(one.message) for one in caught]
    ['the disk is full']
    """
    message = printable(message)
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=level)
    except Exception:  # an error of the filter, or of a hook that shows warnings
        with suppress(Exception):  # there may be no standard error
            print(f"RuntimeWarning: {message}", file=sys.stderr)


def in_short(error: BaseException) -> str:
    r"""What went wrong, on one line: some put a page of HTML into their errors.

    >>> in_short(OSError("no route\nto host"))
    'OSError: no route to host'
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # it is somebody else's class
        text = ""
    text = text[:_LONGEST] + "…" * (len(text) > _LONGEST)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
