"""Tell the user something, without stopping what trains or delivers."""

from __future__ import annotations

import sys
import warnings

_OURS = ("loss_loggers", "multi_loss_weighting")


def warn(message: str) -> None:
    """Warn, at the line of the user's own code that led here.

    Where warnings are errors (`python -W error`), it is told on standard error instead: nothing
    that a logger has to say may stop a training.
    """
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=_frames_of_ours())
    except RuntimeWarning:
        print(f"RuntimeWarning: {message}", file=sys.stderr)


def _frames_of_ours() -> int:
    """How many calls up the first line is that is not of our packages."""
    level, frame = 2, sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level
