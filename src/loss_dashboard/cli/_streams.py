"""The standard streams as they may be: missing, closed, full, or without most characters."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from errno import EPIPE
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED = 1


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Run a command whose output may end early: one line says why, and there is no traceback.

    Without an input a question is not answered, as at the end of one.
    """
    sys.stdout, sys.stderr = _usable(sys.stdout), _usable(sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  until the end
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:  # about a file, of which the command itself should tell
            raise
        if error.errno != EPIPE:  # who reads a pipe no more, knows
            _say(f"the output could not be written: {error.strerror or error}")
        raise SystemExit(FAILED) from None
    finally:
        _drop(sys.stdout)


def _usable(stream: TextIO | None) -> TextIO:
    if stream is None:  # the program was started without it
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  until the end
    with suppress(AttributeError, ValueError):
        stream.reconfigure(errors="replace")  # type: ignore[attr-defined]
    return stream


def _say(message: str) -> None:
    with suppress(OSError):
        print(message, file=sys.stderr)


def _drop(stream: TextIO) -> None:
    """What cannot be written now cannot be at the end of the interpreter either."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
