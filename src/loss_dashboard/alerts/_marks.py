"""The alerts of a run in a few words, for a list of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loss_loggers.recording import parts

from ._find import find_alerts

if TYPE_CHECKING:
    from loss_dashboard.runs.summary import Summary

LARGE = 1 << 22
"""Bytes over which a run is not read for a mark in a list; below, hundredths of a second do."""


def with_alerts(run: Summary) -> Summary:
    """The run with all of its alerts as marks, unless it is large.

    What its last rows tell of losses comes first in either case.
    """
    from loss_dashboard.reading import RunReader

    try:
        size = sum(part.stat().st_size for part in parts(run.path))
    except OSError:
        return run  # it was taken away just now
    if not run.losses or size > LARGE:
        return run
    try:
        alerts = find_alerts(RunReader(run.path, columns=()))
    except Exception:  # one odd run never hides the others of a list
        return run
    known = {"nonfinite": "nan"}
    marks = [f"{alert.loss} {known.get(alert.kind, alert.kind)}".strip() for alert in alerts]
    return replace(run, marks=tuple(dict.fromkeys([*run.marks, *marks])))
