"""The runs of a folder with their alerts and best values, which take reading all of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loss_dashboard.reading import RunReader
from loss_dashboard.reading.details import detail_reader, with_details
from loss_dashboard.runs.cache import Cache, known_runs, stamps
from loss_loggers.recording import parts

from ._find import find_alerts

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.runs.summary import Summary

LARGE = 1 << 22
"""Bytes over which a run is not read for its alerts in a list; below, hundredths of a second do."""


def list_runs(
    directory: Path, *, count: int | None = None, read_all: bool = False
) -> list[Summary]:
    """The newest runs of a folder; one that has ended is read once, and known the next time.

    Args:
        directory: The folder, or a run.
        count: How many; by default all.
        read_all: Whether large runs are read, too, which takes a second for some 100 MB.
    """
    cache = Cache(directory)
    newest = known_runs(directory, cache)[:count]
    listed = [run if run.is_read else _read(run, cache, read_all=read_all) for run in newest]
    cache.save()
    return listed


def _read(run: Summary, cache: Cache, *, read_all: bool) -> Summary:
    seen = stamps(run.path)
    told = examined(run, read_all=read_all)
    cache.put(told, seen)
    return told


def examined(run: Summary, *, read_all: bool = False) -> Summary:
    """The run with its best values and, unless it is large, with all of its alerts as marks.

    What its last rows tell of losses comes first in either case.
    """
    try:
        size = sum(part.stat().st_size for part in parts(run.path))
        if not run.losses or (size > LARGE and not read_all):
            return run
        if size > LARGE:
            return with_details(run, detail_reader(run.path))
        reader = RunReader(run.path, columns=())
        return _with_alerts(with_details(run, reader), reader)
    except Exception:  # one odd run never hides the others of a list
        return run


def _with_alerts(run: Summary, reader: RunReader) -> Summary:
    known = {"nonfinite": "nan"}
    marks = [f"{one.loss} {known.get(one.kind, one.kind)}".strip() for one in find_alerts(reader)]
    return replace(run, marks=tuple(dict.fromkeys([*run.marks, *marks])))
