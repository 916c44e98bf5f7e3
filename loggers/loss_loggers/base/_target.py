"""What a logger delivers to."""

from __future__ import annotations


def target_of(logger: object) -> str:
    """Which run of which backend a logger delivers to, in words.

    >>> from loss_loggers import MemoryLogger
    >>> target_of(MemoryLogger())
    'memory'
    """
    name = getattr(logger, "__name__", type(logger).__name__)
    return str(getattr(logger, "target", None) or name.removesuffix("Logger").lower())
