"""The runs that a page lists: told at once from their last rows, and read through meanwhile."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock, Thread
from time import monotonic, sleep, thread_time, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_dashboard.reading.details import detail_reader, with_details
from loss_dashboard.runs.cache import stamps
from loss_dashboard.runs.table import as_row, text_of

from ._listed import examined

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from loss_dashboard.reading import RunReader
    from loss_dashboard.runs.cache import Cache
    from loss_dashboard.runs.summary import Summary

PATIENCE = 0.3
"""Seconds of reading after which others have their turn."""

FRESH, SHARE = 0.5, 0.1
"""One look serves all tabs for so many seconds, and takes at most this part of a core."""


class _Told(NamedTuple):
    """What all rows of a run told, and how its files looked before they were read."""

    seen: list[object]
    run: Summary


class LiveList:
    """A row for each run, and which of them have changed since a tab asked last.

    Args:
        runs: What is known of the runs without reading them through, by their keys. The same run
            is the same object as long as it has ended and its files are as they were.
        caches: Where it is kept what was read.
    """

    def __init__(
        self, runs: Callable[[], Mapping[str, Summary]], caches: Collection[Cache]
    ) -> None:
        self._runs = runs
        self._caches = caches
        self._lock = Lock()
        self._told: dict[Path, _Told] = {}
        self._readers: dict[Path, RunReader] = {}
        self._wanted: dict[Path, Summary] = {}
        self._worker: Thread | None = None
        self._shown: dict[str, tuple[Summary, Summary]] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._versions: dict[str, int] = {}
        # So that what another server told before this one began counts as old.
        self._version = time_ns() // 1_000_000
        self._unread = 0
        self._look_again = 0.0

    def answer(self, since: int = 0) -> dict[str, Any]:
        """The keys of all runs, the newest first, and the rows that are newer than this version.

        Of runs that were never read through, it says how many there are.
        """
        with self._lock:
            if monotonic() > self._look_again:
                start = thread_time()
                self._look()
                self._look_again = monotonic() + max(FRESH, (thread_time() - start) / SHARE)
            rows = (row for key, row in self._rows.items() if self._versions[key] > since)
            return {
                "version": self._version,
                "keys": [*self._rows],
                "rows": list(rows),
                "unread": self._unread,
            }

    def _look(self) -> None:
        runs = self._runs()
        self._drop_all_but({run.path for run in runs.values()})
        before, self._rows = self._rows, {key: self._row(key, run) for key, run in runs.items()}
        new = [key for key, row in self._rows.items() if before.get(key) != row]
        self._version += bool(new) or [*before] != [*self._rows]
        self._versions |= dict.fromkeys(new, self._version)
        self._unread = len(self._wanted.keys() - self._told.keys())
        if self._wanted and not (self._worker and self._worker.is_alive()):
            self._worker = Thread(target=self._read_wanted, daemon=True)
            self._worker.start()

    def _drop_all_but(self, paths: set[Path]) -> None:
        kept: tuple[dict[Path, Any], ...] = (self._told, self._readers, self._wanted)
        for known in kept:
            for path in known.keys() - paths:
                del known[path]

    def _row(self, key: str, run: Summary) -> dict[str, Any]:
        known = self._known(run)
        if key in self._rows and self._shown.get(key) == (run, known):
            return self._rows[key]
        self._shown[key] = run, known
        return {"key": key, **as_row(known), "text": text_of(known)}

    def _known(self, run: Summary) -> Summary:
        """The run with what all of its rows told; where that is not known it is read soon."""
        if run.is_read:
            return run
        told = self._told.get(run.path)
        if told is None or told.seen != stamps(run.path):
            self._wanted[run.path] = run
        if told is None:
            return run
        if run.state != "running":
            return replace(told.run, name=run.name, state=run.state, note=run.note, tags=run.tags)
        reader = self._readers.get(run.path)
        return replace(
            run,
            state=reader.state if reader else run.state,
            steps_per_second=told.run.steps_per_second,
            last={**told.run.last, **run.last},
            best=told.run.best,
            numbers=told.run.numbers,
            is_read=told.run.is_read,
        )

    def _read_wanted(self) -> None:
        """Read run after run, in half of the time; until none is left."""
        while True:
            with self._lock:
                run = next(iter(self._wanted.values()), None)
            if run is None:
                break
            start, seen = thread_time(), stamps(run.path)
            told = self._read(run)
            with self._lock:
                self._wanted.pop(run.path, None)
                self._told[run.path] = _Told(seen, told)
            sleep(thread_time() - start)
        self._save()

    def _read(self, run: Summary) -> Summary:
        try:
            if run.state != "running":
                self._readers.pop(run.path, None)
                return examined(run, read_all=True)
            reader = self._readers.setdefault(run.path, detail_reader(run.path, PATIENCE))
            before = -1.0
            reader.poll()
            while before < reader.progress < 1:
                before = reader.progress
                sleep(PATIENCE)
                reader.poll()
            return with_details(run, reader)
        except Exception:  # one odd run never hides the others of a list
            return run

    def _save(self) -> None:
        with self._lock:
            told = list(self._told.values())
        for cache in self._caches:
            for seen, run in told:
                cache.put(run, seen)
            cache.save()
