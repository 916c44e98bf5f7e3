"""The runs that a server may show, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

from loss_dashboard.runs.cache import Cache, stamp, stamps
from loss_dashboard.runs.summary import Summary, name_in, run_folders, summarize
from loss_dashboard.runs.unique_names import unique_name
from loss_loggers.recording import INFO, NOTES, parts

from ._run_session import RunSession

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class RunRegistry:
    """Runs by their keys; a key is looked up and never becomes a path.

    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_metrics({"loss/G": 0.5}, step=0)
    ...     registry = RunRegistry([Path(folder)])
    ...     list(registry.runs()), registry.session("../../etc")
    (['gan'], None)
    """

    def __init__(self, places: Iterable[Path]) -> None:
        self.places = list(dict.fromkeys(place.resolve() for place in places))
        self.caches = {place: Cache(place) for place in self.places}
        self._sessions: dict[str, RunSession] = {}
        self._summaries: dict[Path, tuple[list[object], Summary]] = {}
        self._lock = Lock()

    def runs(self) -> dict[str, Summary]:
        """The runs by their keys, the newest first."""
        found: dict[str, Summary] = {}
        seen: set[Path] = set()
        for place in self.places:
            folders = [path for path in run_folders(place) if is_within(path, place)]
            runs = [self._summary(path, place) for path in folders if path.resolve() not in seen]
            seen.update(path.resolve() for path in folders)
            for run in sorted(runs, key=_start, reverse=True):
                found[unique_name(run.name, found)] = run
        return dict(sorted(found.items(), key=lambda item: _start(item[1]), reverse=True))

    def _summary(self, path: Path, place: Path) -> Summary:
        """What is known of a run, kept once it has ended: of hundreds that takes a while."""
        seen = [*stamps(path), stamp(path / NOTES)]
        known = self._summaries.get(path)
        if known is None or known[0] != seen or known[1].state == "running":
            run = self.caches[place].find(path, name_in(path, place)) or summarize(path, place)
            self._summaries[path] = known = seen, run
        return known[1]

    def left_out(self) -> list[Path]:
        """The runs that are not shown, since links lead from them to outside of all places."""
        runs = (run for place in self.places for run in run_folders(place))
        return [run for run in runs if not self.holds(run)]

    def read_ahead(self) -> None:
        """Begin to read the newest run, which the page shows first, while others go on."""
        Thread(target=self._read_newest, daemon=True).start()

    def _read_newest(self) -> None:
        newest = next(iter(self.runs()), None)
        with suppress(RuntimeError):  # no thread can begin once the program ends
            if newest is not None and (session := self.session(newest)):
                session.read_through()

    def session(self, key: str) -> RunSession | None:
        """The run with this key, which is read from now on; None if there is none."""
        with self._lock:
            known = self._sessions.get(key)
            if known is None and (run := self.runs().get(key)):
                known = self._sessions[key] = RunSession(run.path, self.holds)
            return known if known and known.is_open else None

    def folders(self, keys: Iterable[str]) -> dict[str, Path]:
        """The folders of those of these runs that there are, and may be read."""
        runs = self.runs()
        return {key: runs[key].path for key in keys if key in runs and self.holds(runs[key].path)}

    def holds(self, run: Path) -> bool:
        """Whether a run may be read, wherever links may lead."""
        return any(is_within(run, place) for place in self.places)


def is_within(folder: Path, place: Path) -> bool:
    """Whether a run and all its files are in a place, wherever links may lead.

    A run that is gone is within: what was read of it before may be shown.
    """
    links = [file for file in (folder / INFO, *parts(folder)) if file.is_symlink()]
    try:
        return all(path.resolve().is_relative_to(place) for path in (folder, *links))
    except (OSError, RuntimeError):  # a link was taken away just now, or leads in circles
        return False


def _start(run: Summary) -> float:
    return run.start


def describe(key: str, run: Summary) -> dict[str, object]:
    """A run in the list of all."""
    # JSON's readers know no larger numbers.
    step = run.last_step if run.last_step is None or abs(run.last_step) < 2**53 else None
    told = {"key": key, "state": run.state, "start": run.start, "step": step}
    return {**told, "note": run.note, "tags": run.tags}
