"""What a list of runs tells of each once all of its rows were read."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from typing import TYPE_CHECKING

from ._run_reader import RunReader
from .extras import VALUE

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.runs.summary import Summary

MOST_NUMBERS = 100
"""So many of the user's own numbers are listed."""


def detail_reader(folder: Path, patience: float = inf) -> RunReader:
    """A reader that takes no more room for a long run than for a short one."""
    return RunReader(folder, columns=(), always=("loss",), patience=patience, keep=False)


def with_details(run: Summary, reader: RunReader) -> Summary:
    """The run with what all of its rows tell: last and best values, and the user's own numbers."""
    names = [*reader.losses, *reader.totals]
    best = {name: reader.best(name) for name in names}
    numbers = list(reader.extras.items())[:MOST_NUMBERS]
    steps = [step for step in (run.last_step, reader.last_step) if step is not None]
    pace = reader.steps_per_second
    return replace(
        run,
        last_step=max(steps, default=None),
        steps_per_second=pace if isfinite(pace) else None,
        last={name: float(reader.series(name)["loss"][-1]) for name in names},
        best={name: value for name, value in best.items() if isfinite(value)},
        numbers={name: float(own[VALUE][-1]) for name, own in numbers},
        is_read=reader.progress == 1,
    )
