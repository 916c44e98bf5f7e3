"""This process: whether it is the first of a distributed run, and what is done when it ends."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "LOCAL_RANK")
"""What launchers call the number of a process, the surest first."""


def rank() -> str:
    """What the launcher of a distributed run calls this process; empty where there is none."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return str(distributed.get_rank())
    return next(filter(None, (os.environ.get(name, "") for name in _RANKS)), "")


def is_first_rank() -> bool:
    """Whether the launcher of a distributed run, if there is one, calls this process the first."""
    return rank() in ("", "0")


class _End:
    """What is left to do, the youngest first; a forked process has nothing of its parent's."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.is_near = False
        self.first: dict[Callable[[], object], Callable[[], object]] = {}
        self.finalizers: list[weakref.finalize[Any, Any]] = []


_end: _End | None = None


def finalizer(
    owner: object, function: Callable[..., object], *arguments: object
) -> weakref.finalize[Any, Any]:
    """Have `function` called once, when `owner` is collected or the process ends.

    The end of a child of `multiprocessing` counts, too: it runs no `atexit` functions.
    """
    made = weakref.finalize(owner, function, *arguments)
    end = _this_end()
    end.finalizers = [*(one for one in end.finalizers if one.alive), made]
    return made


def before_end(function: Callable[[], object], begin: Callable[[], object] | None = None) -> None:
    """Have `function` called at the end of the process, before all that SDKs do there.

    Where one is waited for, `begin_end` lets all begin, by `begin` if it is another function.
    """
    atexit.register(function)
    _this_end().first[function] = begin or function


def begin_end() -> None:
    """Let all begin that is called at the end of the process, in that order."""
    for begin in [*reversed(_this_end().first.values())]:
        begin()


def not_before_end(function: Callable[[], object]) -> None:
    """Take that back."""
    atexit.unregister(function)
    _this_end().first.pop(function, None)


def is_ending() -> bool:
    """Whether the process is about to end, so that nobody collects what is still held."""
    return _end is not None and _end.is_near and _end.owner == os.getpid()


def last_error() -> BaseException | None:
    """The error that ends the process, if one does."""
    if hasattr(sys, "ps1"):  # at a prompt it may be long past, and was seen by the user
        return None
    # A child of multiprocessing still handles it; the interpreter has printed it.
    error: BaseException | None = sys.exc_info()[1] or getattr(sys, "last_value", None)
    return error


def _this_end() -> _End:
    global _end
    if _end is None or _end.owner != os.getpid():
        _end = _End()
        # Behind the hook of weakref.finalize, and so called before it.
        weakref.finalize(_end, int)
        atexit.register(_near, _end)
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing is not None and multiprocessing.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, _end_child, args=(_end,), exitpriority=100)
    return _end


def _near(end: _End) -> None:
    if end.owner == os.getpid():
        end.is_near = True


def _end_child(end: _End) -> None:
    end.is_near = True
    for function in [*reversed(end.first)]:
        function()
    for one in reversed(end.finalizers):
        one()
