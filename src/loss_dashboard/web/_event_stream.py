"""What one tab of a browser looks at, and when there is something new to tell it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import orjson
from starlette.concurrency import run_in_threadpool

from loss_dashboard.curves.comparison import compared
from loss_dashboard.curves.live_curves import Known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from loss_dashboard.curves.view_options import ViewOptions

    from ._run_session import RunSession

TICK = 0.015
"""Seconds between two looks at a run that has just had a row."""

CALM = 40
"""After a silence, the next look comes after one part in so many of it: a row is late by that."""

LONGEST = 0.1
"""Seconds between two looks at a run that is written, however long it has been silent."""

REST = 1.0
"""Seconds between two looks at a run that is not written."""

PULSE = 15.0
"""After so many quiet seconds a stream says that it is still there."""


class EventStream:
    """The runs of a tab, beside each other, of which it is told what it does not know yet.

    Args:
        sessions: The runs; a window that follows stays at the end of the first one.
        options: What it shows of them.
    """

    def __init__(self, sessions: Sequence[RunSession], options: ViewOptions) -> None:
        self._sessions = sessions
        self._options = options
        self._known = [Known() for _ in sessions]

    def poll(self) -> None:
        """Read what is new."""
        for session in self._sessions:
            if session.has_news:
                session.poll()

    def tell(self) -> bytes:
        """A list of views as JSON; of curves what was not told before."""
        options = self._options.moved_to(self._sessions[0].last_step)
        told = [
            session.answer(options, known)
            for session, known in zip(self._sessions, self._known, strict=True)
        ]
        self._known = [known for _, known in told]
        views = [view for view, _ in told]
        if len(views) > 1:
            views = [
                view[:-1] + b',"compared":' + orjson.dumps(one) + b"}"
                for view, one in zip(views, self._compared(options), strict=True)
            ]
        return b"[" + b",".join(views) + b"]"

    def _compared(self, options: ViewOptions) -> list[dict[str, Any]]:
        runs = [session.losses() for session in self._sessions]
        return compared(runs, options.first, options.last)

    async def changes(self, is_ending: Callable[[], bool]) -> AsyncIterator[bytes]:
        """An event for each change; many tabs of one run share what one of them reads."""
        seen: list[int] = []
        changed = said = monotonic()
        while not is_ending():
            if any(session.has_news for session in self._sessions):
                await run_in_threadpool(self.poll)
            now = [session.version for session in self._sessions]
            if now != seen:
                seen, changed, said = now, monotonic(), monotonic()
                yield b"data: " + await run_in_threadpool(self.tell) + b"\n\n"
            elif monotonic() - said >= PULSE:
                said = monotonic()
                yield b": still here\n\n"
            rest = min(session.rest for session in self._sessions)
            await asyncio.sleep(max(self._pause(monotonic() - changed), rest))

    def _pause(self, silence: float) -> float:
        """Seconds until it is worth to look again, after so many without news."""
        if not any(session.is_written for session in self._sessions):
            return REST
        return min(max(TICK, silence / CALM), LONGEST)
