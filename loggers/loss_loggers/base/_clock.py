"""The time of a row, which never goes back while the process lives."""

from __future__ import annotations

import time

# The first one goes on while a laptop sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds since some moment, on a clock that nobody sets."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


_SHIFT = time.time() - elapsed()


def row_time() -> float:
    """The current time in seconds since 1970, by the clock as it was when the process began.

    A clock that is set while the process runs does not change it.

    >>> earlier = row_time()
    >>> earlier <= row_time()
    True
    """
    return _SHIFT + elapsed()
