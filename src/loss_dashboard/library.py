"""The runs that a server may show, and nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from time import monotonic, thread_time
from typing import TYPE_CHECKING, TypeVar

import orjson

from loss_loggers.run_folder import INFO, parts

from ._live_curves import Choice, LiveCurves
from .alerts import find_alerts
from .reader import RunReader
from .runs import Summary, find_runs
from .view import view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .alerts import Alert

Kept = TypeVar("Kept")

PATIENCE = 0.3
"""Seconds of reading after which a page gets what there is of a long run."""

REST = 1.0
"""The longest rest in seconds, and the shortest between two searches for alerts."""

SHARE = 0.015
"""The part of a core that a live run may take, in reading and in answers."""

ALERTS_SHARE = 0.01
"""The part of a core that may go into searches for alerts, which look at the whole of a run."""

KEPT = 16
"""Views kept of a run, for tabs that differ in what they show."""


class Shelf:
    """One run with its reader, which one thread at a time may use.

    After work it rests, so that rows that come without a break are shown together; the first row
    after a pause is shown at once. Tabs that ask the same share an answer.
    """

    def __init__(self, path: Path) -> None:
        self.version = 0
        self.reader = RunReader(path, columns=(), patience=PATIENCE)
        self._lock = Lock()
        self._rests_until = 0.0
        self._glanced: object = None
        self._read_again = 0.0
        self._alerts: list[Alert] = []
        self._is_searched, self._search_again = False, 0.0
        self._answers: dict[Choice, bytes] = {}
        self._curves: dict[Choice, LiveCurves] = {}

    @property
    def rest(self) -> float:
        """For how many seconds it does not look for new rows."""
        return max(0.0, self._rests_until - monotonic())

    @property
    def has_news(self) -> bool:
        """Whether reading may show more: the files differ, or a second has passed."""
        if self.reader.progress < 1 or monotonic() > self._read_again:
            return True
        return self.reader.glance() != self._glanced

    def poll(self) -> None:
        """Read what is new, unless it rests or somebody else is about to read."""
        if self.rest or not self._lock.acquire(blocking=False):
            return
        try:
            with self._at_work():
                self._read()
        finally:
            self._lock.release()

    def answer(self, choice: Choice) -> bytes:
        """A view of the run as it has been read, as JSON, made once for all who ask for it."""
        with self._lock, self._at_work():
            if not self.rest:
                self._read()
            if choice not in self._answers:
                shown = view(self.reader, self._drawn(choice), self._alerts)
                _keep(self._answers, choice, orjson.dumps(shown))
            return self._answers[choice]

    def _read(self) -> None:
        self._glanced, self._read_again = self.reader.glance(), monotonic() + REST
        changed = self.reader.poll()
        self._is_searched &= not changed
        if self._finds_alerts() or changed:
            self.version += 1
            self._answers.clear()

    def _drawn(self, choice: Choice) -> LiveCurves:
        return _keep(self._curves, choice, self._curves.get(choice) or LiveCurves(choice))

    def _finds_alerts(self) -> bool:
        """Look for alerts, the less often the longer that takes; whether they differ."""
        is_written = self.reader.state in ("live", "waiting", "stale")
        early = is_written and monotonic() < self._search_again
        if self._is_searched or early or self.reader.progress < 1:
            return False
        start, before = thread_time(), self._alerts
        self._alerts, self._is_searched = find_alerts(self.reader), True
        self._search_again = monotonic() + max(REST, (thread_time() - start) / ALERTS_SHARE)
        return self._alerts != before

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        start = thread_time()
        try:
            yield
        finally:
            rest = min(REST, (thread_time() - start) / SHARE)
            self._rests_until = min(max(self._rests_until, monotonic()) + rest, monotonic() + REST)


class Library:
    """Runs by their keys; a key is looked up and never becomes a path.

    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_metrics({"loss/G": 0.5}, step=0)
    ...     library = Library([Path(folder)])
    ...     list(library.runs()), library.shelf("../../etc")
    (['gan'], None)
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self.places = [place.resolve() for place in places]
        self._shelves: dict[str, Shelf] = {}
        self._lock = Lock()

    def runs(self) -> dict[str, Summary]:
        """The runs by their keys, the newest first."""
        found: dict[str, Summary] = {}
        for place in self.places:
            for run in find_runs(place):
                if is_within(run.path, place):
                    found[_new_key(run.path, found)] = run
        return dict(sorted(found.items(), key=lambda item: item[1].start, reverse=True))

    def shelf(self, key: str) -> Shelf | None:
        """The run with this key, which is read from now on; None if there is none."""
        with self._lock:
            known = self._shelves.get(key)
            if known is None and (run := self.runs().get(key)):
                known = self._shelves[key] = Shelf(run.path)
            if known and not any(is_within(known.reader.path, place) for place in self.places):
                return None
            return known


def _keep(known: dict[Choice, Kept], choice: Choice, kept: Kept) -> Kept:
    """Keep what was made for the last few choices."""
    known.pop(choice, None)
    known[choice] = kept
    if len(known) > KEPT:
        del known[next(iter(known))]
    return kept


def is_within(folder: Path, place: Path) -> bool:
    """Whether a run and all its files are in a place, wherever links may lead.

    A run that is gone is within: what was read of it before may be shown.
    """
    files = [folder, folder / INFO, *parts(folder)]
    return all(file.resolve().is_relative_to(place) for file in files)


def _new_key(path: Path, taken: Iterable[str]) -> str:
    """The name of the folder; where two have the same, the later one gets a number."""
    key, number = path.name, 2
    while key in taken:
        key, number = f"{path.name} ({number})", number + 1
    return key


def describe(key: str, run: Summary) -> dict[str, object]:
    """A run in the list of all."""
    return {"key": key, "state": run.state, "start": run.start, "step": run.last_step}
