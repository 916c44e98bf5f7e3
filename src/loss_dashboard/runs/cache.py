"""What is known of runs that have ended: they are read once, and known the next time."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from loss_loggers.recording import INFO, parts, write_json

from .notes import read_notes
from .summary import Summary, name_in, newest_first, run_folders, summarize

FORMAT = 2
"""Another one, as soon as a summary has other fields, or they mean something else."""

KEPT = [one.name for one in fields(Summary) if one.name not in ("path", "name", "note", "tags")]


class _Known(NamedTuple):
    """A run as it was read, and how its files looked before."""

    stamps: list[object]
    run: Summary


class Cache:
    """Summaries of the runs below a directory, by what their files looked like.

    The file is in the cache of the user (`XDG_CACHE_HOME`), and may be deleted at any time. What
    cannot be read or written is done without.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = _file_for(directory)
        self._known = _read(self._file)
        self._is_new = False

    def get(self, run: Summary) -> Summary | None:
        """What is known of a run; None if its files have changed since, or it goes on."""
        known = self._known.get(str(run.path))
        if known is None or run.state == "running" or known.stamps != stamps(run.path):
            return None
        return replace(known.run, path=run.path, name=run.name, note=run.note, tags=run.tags)

    def find(self, folder: Path, name: str) -> Summary | None:
        """The same where nothing was read of the run yet."""
        return self.get(Summary(folder, name, **read_notes(folder)._asdict()))

    def put(self, run: Summary, seen: list[object]) -> None:
        """Keep what was read of a run that has ended; `seen` are its stamps before the reading."""
        known = self._known.get(str(run.path))
        is_over = (
            run.is_read and run.state != "running" and run.path.is_relative_to(self._directory)
        )
        if is_over and (known is None or known.stamps != seen):
            self._known[str(run.path)] = _Known(seen, run)
            self._is_new = True

    def save(self) -> None:
        """Write down what is new, of runs that there still are."""
        if not self._is_new or self._file is None:
            return
        self._known = {path: it for path, it in self._known.items() if Path(path).is_dir()}
        entries = {path: [it.stamps, _packed(it.run)] for path, it in self._known.items()}
        with suppress(OSError, ValueError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, {"format": FORMAT, "runs": entries})
        self._is_new = False


def known_runs(directory: Path, cache: Cache | None = None) -> list[Summary]:
    """The runs in a directory, the newest first, as far as is known without reading them through.

    Of those that were read through before, that is all.
    """
    known = cache or Cache(directory)
    return newest_first(
        known.find(folder, name_in(folder, directory)) or summarize(folder, directory)
        for folder in run_folders(directory)
    )


def stamps(folder: Path) -> list[object]:
    """What differs once a file of the record has changed."""
    return [stamp(file) for file in (folder / INFO, *parts(folder))]


def stamp(file: Path) -> list[int] | None:
    """What differs once a file has changed, or another is in its place; None without one."""
    try:
        status = file.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def _file_for(directory: Path) -> Path | None:
    from hashlib import sha256

    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        name = sha256(str(directory.resolve()).encode(errors="replace")).hexdigest()[:16]
    except (OSError, RuntimeError):  # nobody knows where the user is at home
        return None
    return Path(home) / "multi-loss-weighting" / f"runs-{name}.json"


def _packed(run: Summary) -> dict[str, Any]:
    return {name: getattr(run, name) for name in KEPT}


def _read(file: Path | None) -> dict[str, _Known]:
    try:
        content = json.loads(file.read_bytes()) if file else {}
        if content.get("format") != FORMAT:
            return {}
        runs = content["runs"].items()
        return {path: _Known(seen, _run(packed)) for path, (seen, packed) in runs}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _run(packed: dict[str, Any]) -> Summary:
    lists = ("losses", "marks")
    return Summary(Path(), "", **{**packed, **{name: tuple(packed[name]) for name in lists}})
