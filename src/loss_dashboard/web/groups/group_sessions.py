"""Runs that a server shows in groups: read while it is asked for them, of each the losses alone."""

from __future__ import annotations

from secrets import token_hex
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from loss_dashboard.curves.groups import member_of
from loss_dashboard.reading import RunReader

from ._view import groups_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from loss_dashboard.curves.view_options import ViewOptions

PATIENCE = 0.5
"""Seconds of reading after which a page gets what there is of long runs."""

LATER = 2.0
"""The same once it shows something: to draw many long runs anew takes as long as to read on."""

KEPT = 200
"""Runs that stay read, for the next time that somebody asks."""


class GroupSessions:
    """Runs by their keys, which one thread at a time may read.

    Args:
        folders: Tells the folders of those of some runs that there are.
        may_read: Whether one may be read now, wherever links may lead.
    """

    def __init__(
        self,
        folders: Callable[[Iterable[str]], dict[str, Path]],
        may_read: Callable[[Path], bool],
    ) -> None:
        self._folders = folders
        self._may_read = may_read
        self._lock = Lock()
        self._runs: dict[str, _Run] = {}
        self._server = token_hex(4)

    def tell(
        self, keys: Sequence[str], by: str, options: ViewOptions, seen: str = ""
    ) -> dict[str, Any] | None:
        """The groups of these runs as they are now; None if somebody has seen that already.

        Args:
            keys: The runs; those that are not there are left out.
            by: The setting by which they are grouped.
            options: What is shown of them.
            seen: The name of the last answer to this question.
        """
        with self._lock:
            runs = self._read(dict.fromkeys(keys), LATER if seen else PATIENCE)
            version = sum(run.version for run in runs.values())
            progress = sum(run.progress for run in runs.values()) / max(1, len(runs))
            name = f"{self._server}-{len(runs)}-{version}-{progress}"
            if name == seen:
                return None
            read = {key: run.reader for key, run in runs.items() if run.reader}
            members = [member_of(reader, key) for key, reader in read.items()]
            states = {key: reader.state for key, reader in read.items()}
            view = groups_view(members, by, options)
            problems = [f"{key}: {it}" for key, one in read.items() for it in one.problems]
            return {
                "name": name,
                "progress": progress,
                "states": states,
                "problems": problems,
                **view,
            }

    def _read(self, keys: dict[str, None], patience: float) -> dict[str, _Run]:
        """Read what is new of each, as long as there is time; the first of them in any case."""
        unknown = [key for key in keys if key not in self._runs]
        folders = self._folders(unknown) if unknown else {}
        self._runs |= {key: _Run(folder) for key, folder in folders.items()}
        runs = {
            key: self._runs[key]
            for key in keys
            if key in self._runs and self._may_read(self._runs[key].folder)
        }
        until = monotonic() + patience
        for run in sorted(runs.values(), key=lambda run: (run.progress == 1, run.read_at)):
            if monotonic() < until:
                run.read()
        for key in runs:  # those that were asked for last stay
            self._runs[key] = self._runs.pop(key)
        for key in list(self._runs)[:-KEPT]:
            del self._runs[key]
        return runs


class _Run:
    """A run that is read when there is time for it.

    Attributes:
        reader: None before that.
        version: how often there was something new.
        read_at: when it was read last: who waited longest comes first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reader: RunReader | None = None
        self.version = 0
        self.read_at = 0.0

    @property
    def progress(self) -> float:
        return self.reader.progress if self.reader else 0.0

    def read(self) -> None:
        self.read_at = monotonic()
        if self.reader is None:
            self.reader = RunReader(self.folder, (), always=("loss",), patience=PATIENCE)
            self.version += 1
        elif self.reader.poll():
            self.version += 1
