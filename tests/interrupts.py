"""Ctrl-C at any point of our own code."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import loss_loggers
import multi_loss_weighting

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = tuple(
    str(Path(str(package.__file__)).parent) for package in (multi_loss_weighting, loss_loggers)
)


class Tracer:
    """Counts the events in our files, each bytecode one, and raises at one of them.

    Args:
        stop: At which event, from 0; None for never, -1 to count nothing either.
    """

    def __init__(self, stop: int | None = None) -> None:
        self.events = 0
        self.place = ""
        self._stop = stop
        self._is_ours: dict[str, bool] = {}

    def _count(self, frame: Any, event: str, _: Any) -> Any:
        if event == "opcode":
            if self.events == self._stop:
                self.events += 1
                code = frame.f_code
                self.place = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}"
                self.interrupt()
            self.events += 1
        return self._count

    def interrupt(self) -> None:
        """What comes at that event."""
        raise KeyboardInterrupt

    def _enter(self, frame: Any, _event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if name not in self._is_ours:
            self._is_ours[name] = name.startswith(OURS)
        if not self._is_ours[name]:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._count

    @contextmanager
    def watching(self, does_watch: bool = True) -> Iterator[list[KeyboardInterrupt]]:
        """Count in here, and raise; the list then has the interrupt, if it came."""
        before, came = sys.gettrace(), list[KeyboardInterrupt]()
        is_over = self._stop is not None and self.events > self._stop
        sys.settrace(self._enter if does_watch and not is_over else before)
        try:
            yield came
        except KeyboardInterrupt as interrupt:
            came.append(interrupt)
        finally:
            sys.settrace(before)
