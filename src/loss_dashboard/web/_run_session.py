"""One run that a server shows: read while it is asked for, and shown once for all who ask."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from time import monotonic, sleep, thread_time
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from loss_dashboard.alerts import explain, find_alerts, in_words
from loss_dashboard.curves.live_curves import Known, LiveCurves, without
from loss_dashboard.curves.numbers import plain
from loss_dashboard.curves.sparklines import Sparklines
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader

from ._cpu_budget import CpuBudget
from ._run_view import view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from loss_dashboard._typing import Values
    from loss_dashboard.alerts import Alert

Kept = TypeVar("Kept")

PATIENCE = 0.3
"""Seconds of reading after which a page gets what there is of a long run."""

REST = 1.0
"""The longest rest in seconds, and the shortest between two searches for alerts."""

SHARE = 0.015
"""The part of a core that a live run may take, in reading and in answers."""

CREDIT = 1.0
"""What a run that is seldom written saves up, in seconds of its share: enough for a few rows."""

ALERTS_SHARE = 0.01
"""The part of a core that may go into searches for alerts, which look at the whole of a run."""

TURN = 0.002
"""Seconds between two stretches of reading, in which whoever waits gets what there is."""

QUICK = 0.02
"""Seconds of a search for alerts after which there is time for words before the run is shown."""

KEPT = 16
"""Views kept of a run, for tabs that differ in what they show."""


NOTHING = Known()


class RunSession:
    """One run with its reader, which one thread at a time may use.

    It rests when it has worked much, so that rows that come without a break are shown together; a
    few rows after a pause are shown at once. Tabs that ask the same share a view.

    Args:
        path: The folder.
        may_read: Whether it may be read now, wherever links may lead.
    """

    def __init__(self, path: Path, may_read: Callable[[Path], bool]) -> None:
        self.version = 0
        self.reader = RunReader(path, columns=(), patience=PATIENCE)
        self._may_read = may_read
        self._lock = Lock()
        self._budget = CpuBudget(SHARE, CREDIT, REST)
        self._glanced: object = None
        self._read_again = 0.0
        self._alerts: list[Alert] = []
        self._explained = ""
        self._is_explained, self._explains_at = False, 0.0
        self._is_searched, self._search_again = False, 0.0
        self._views: dict[ViewOptions, dict[str, Any]] = {}
        self._curves: dict[ViewOptions, LiveCurves] = {}
        self._sparklines = Sparklines()

    @property
    def rest(self) -> float:
        """For how many seconds it does not look for new rows."""
        return self._budget.rest

    @property
    def has_news(self) -> bool:
        """Whether reading may show more: the files differ, or a second has passed."""
        if self.reader.progress < 1 or monotonic() > self._read_again:
            return True
        return self.reader.glance() != self._glanced

    @property
    def is_open(self) -> bool:
        """Whether it may be read."""
        return self._may_read(self.reader.path)

    @property
    def is_written(self) -> bool:
        """Whether there may soon be more of it."""
        return self.reader.progress < 1 or self.reader.state in ("running", "waiting")

    @property
    def last_step(self) -> float | None:
        """The largest step of its rows."""
        return self.reader.last_step

    def losses(self) -> dict[str, dict[str, Values]]:
        """The losses as they have been read."""
        with self._lock:
            return {name: self.reader.series(name) for name in self.reader.losses}

    def poll(self) -> None:
        """Read what is new, unless it rests or somebody else is about to read."""
        if self.rest or not self._lock.acquire(blocking=False):
            return
        try:
            with self._at_work():
                self._read()
        finally:
            self._lock.release()

    def read_through(self) -> None:
        """Read all that there is, and draw it as the page asks for it first."""
        before = -1.0
        while before < self.reader.progress < 1:
            before = self.reader.progress
            self.poll()
            sleep(TURN)
        self.answer(ViewOptions())

    def answer(self, options: ViewOptions, known: Known = NOTHING) -> tuple[bytes, Known]:
        """A view of the run as it has been read, as JSON without the curves that are known.

        Returns:
            The view, and what is known of its curves once it is told.
        """
        with self._lock, self._at_work():
            if options not in self._views:
                drawn, said = self._drawn(options), (self._alerts, self._sparklines)
                shown = view(self.reader, drawn, *said, self._explained)
                _keep(self._views, options, shown)
            shown = self._views[options]
            curves = shown["curves"]
            fresh = {"silent": plain(self.reader.silent), "curves": without(curves, known)}
            content = orjson.dumps({**shown, **fresh})
            return content, Known(curves["drawing"], curves["full"])

    def _read(self) -> None:
        self._glanced, self._read_again = self.reader.glance(), monotonic() + REST
        if not self.is_open:
            return
        changed = self.reader.poll()
        self._is_searched &= not changed
        found = self._finds_alerts(), self._finds_words()
        if changed or any(found):
            self.version += 1
            self._views.clear()

    def _drawn(self, options: ViewOptions) -> LiveCurves:
        return _keep(self._curves, options, self._curves.get(options) or LiveCurves(options))

    def _finds_alerts(self) -> bool:
        """Look for alerts, the less often the longer that takes; whether they differ."""
        is_written = self.reader.state in ("running", "waiting", "stale")
        early = is_written and monotonic() < self._search_again
        if self._is_searched or early or self.reader.progress < 1:
            return False
        start, before = thread_time(), self._alerts
        self._alerts, self._is_searched = find_alerts(self.reader), True
        took = thread_time() - start
        self._is_explained, self._explains_at = False, 0.0 if took < QUICK else monotonic() + REST
        self._search_again = monotonic() + max(REST, 2 * took / ALERTS_SHARE)
        return self._alerts != before

    def _finds_words(self) -> bool:
        """Say what deserves a look, of a long run once it is shown; whether that differs."""
        if self._is_explained or not self._is_searched or monotonic() < self._explains_at:
            return False
        before, self._is_explained = self._explained, True
        self._explained = in_words(explain(self.reader, self._alerts))
        return self._explained != before

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        start = thread_time()
        try:
            yield
        finally:
            if self.reader.progress == 1:  # or else somebody waits for the rest of a long run
                self._budget.spend(thread_time() - start)


def _keep(known: dict[ViewOptions, Kept], options: ViewOptions, kept: Kept) -> Kept:
    """Keep what was made for the last few choices."""
    known.pop(options, None)
    known[options] = kept
    if len(known) > KEPT:
        del known[next(iter(known))]
    return kept
