"""Ctrl-C at any point of our own code."""

from __future__ import annotations

import dis
import gc
import sys
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import loss_loggers
import multi_loss_weighting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

OURS = tuple(
    str(Path(str(package.__file__)).parent) for package in (multi_loss_weighting, loss_loggers)
)
BETWEEN_CALLS = "_grad_mode.py"
"""It counts on Python to look for signals at calls alone."""


LOOKS_THERE = ("RESUME", "CALL", "BEFORE_WITH", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")


_KNOWN: dict[int, tuple[CodeType, frozenset[int]]] = {}  # by identity: a hash is of all the code


def _moments(code: CodeType) -> frozenset[int]:
    """The bytecodes before which Ctrl-C may come.

    CPython looks for signals where a function begins, around a call and where a loop goes on; until
    3.11 almost everywhere.
    """
    everywhere = [*dis.get_instructions(code)]
    if sys.version_info < (3, 11):
        return frozenset(one.offset for one in everywhere)
    there = [pair for pair in pairwise(everywhere) if pair[0].opname.startswith(LOOKS_THERE)]
    return frozenset(one.offset for pair in there for one in pair)


def is_moment(frame: FrameType) -> bool:
    """Whether Ctrl-C may come before the bytecode that is about to run."""
    code = frame.f_code
    if id(code) not in _KNOWN:
        _KNOWN[id(code)] = code, _moments(code)
    return frame.f_lasti in _KNOWN[id(code)][1]


@contextmanager
def nothing_is_collected() -> Iterator[None]:
    """Keeps finalizers of what other tests have left from running, and being interrupted, in here.

    Python swallows what a finalizer raises, and may break what called it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def signal_at(stop: int, act: Callable[[], object]) -> int:
    """Have Ctrl-C come where Python looks for signals while gradients are turned off or on.

    It looks when a function of Python begins, and after the call of one in C.

    Args:
        stop: At which of these points, from 0.
        act: What is done.

    Returns:
        How many points there were until then.
    """
    files, seen = ("grad_mode.py", "_contextlib.py"), 0  # ours, and those of torch

    def look(frame: Any, event: str, _: Any) -> None:
        nonlocal seen
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(files):
            seen += 1
            if seen == stop + 1:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        with nothing_is_collected(), suppress(KeyboardInterrupt):
            act()
    finally:
        sys.setprofile(before)
    return seen


class Tracer:
    """Counts the moments in our files at which Ctrl-C may come, and raises at one of them.

    Args:
        stop: At which moment, from 0; None for never, -1 to count nothing either.
    """

    def __init__(self, stop: int | None = None) -> None:
        self.events = 0
        self.place = ""
        self._stop = stop
        self._is_ours: dict[str, bool] = {}

    def _count(self, frame: Any, event: str, _: Any) -> Any:
        if event == "opcode" and is_moment(frame):
            if self.events == self._stop:
                self.events += 1
                code = frame.f_code
                self.place = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}"
                self.interrupt()
            self.events += 1
        return self._count

    def interrupt(self) -> None:
        """What comes at that moment."""
        raise KeyboardInterrupt

    def _enter(self, frame: Any, _event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if name not in self._is_ours:
            self._is_ours[name] = name.startswith(OURS) and not name.endswith(BETWEEN_CALLS)
        if not self._is_ours[name]:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    @contextmanager
    def watching(self, does_watch: bool = True) -> Iterator[list[KeyboardInterrupt]]:
        """Count in here, and raise; the list then has the interrupt, if it came."""
        before, came = sys.gettrace(), list[KeyboardInterrupt]()
        is_over = self._stop is not None and self.events > self._stop
        with nothing_is_collected():
            sys.settrace(self._enter if does_watch and not is_over else before)
            try:
                yield came
            except KeyboardInterrupt as interrupt:
                came.append(interrupt)
            finally:
                sys.settrace(before)
