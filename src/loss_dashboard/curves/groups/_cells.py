"""Cells of steps in which runs are compared, whichever steps they recorded."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves._grid import Grid, distinct, is_ordered
from loss_dashboard.curves.decimate import bucket_starts, starts_of_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard._typing import Columns, Values
    from loss_dashboard.curves.view_options import ViewOptions


class Cells(NamedTuple):
    """Cells, and whether each is one step that was recorded, of each run one row."""

    grid: Grid
    whole: bool


def cells_of(owns: Sequence[Columns], options: ViewOptions, points: int) -> Cells:
    """At most so many cells for one loss of several runs.

    Runs that recorded the same steps, as far as each went, have cells of as many of these. Of runs
    that did not, each cell is as wide as there are steps between two rows of the one that recorded
    least often, so that every run has a row in nearly every cell while it lasts.

    Args:
        owns: The columns of the loss in each run.
        options: The first and the last step.
        points: The most cells.
    """
    each = [_in_window(own["step"], options) for own in distinct(owns)]
    each = [steps for steps in each if len(steps)]
    union = _union(each)
    is_shared = all(len(steps) == _between(union, steps) for steps in each)
    if is_shared:
        starts = union[bucket_starts(len(union), points)]
    else:
        starts = _even(union, max(map(_interval, each)), points)
    edges = {"step": starts, "time": starts}
    grid = Grid([edges], options.first, options.last, partial(starts_of_size, size=1))
    once = all(is_ordered(own["step"]) for own in owns)
    return Cells(grid, is_shared and once and len(union) <= points)


def have_same_steps(owns: Sequence[Columns], others: Sequence[Columns]) -> bool:
    """Whether two losses were recorded at the same steps in each run, and so share cells."""
    import numpy as np

    return len(owns) == len(others) and all(
        np.array_equal(own["step"], other["step"]) for own, other in zip(owns, others, strict=True)
    )


def _in_window(steps: Values, options: ViewOptions) -> Values:
    """The steps that are looked at, once each."""
    import numpy as np

    if not is_ordered(steps):  # a run that was resumed may have gone back
        steps = np.unique(steps)
    start = 0 if options.first is None else int(steps.searchsorted(options.first))
    end = len(steps) if options.last is None else steps.searchsorted(options.last, side="right")
    return steps[start:end]


def _union(each: Sequence[Values]) -> Values:
    import numpy as np

    steps = np.concatenate(each) if each else np.empty(0)
    steps.sort(kind="stable")  # the fastest for what consists of sorted parts
    return steps[np.append(True, steps[1:] > steps[:-1])] if len(steps) else steps


def _between(union: Values, steps: Values) -> int:
    """How many steps of all runs lie from the first to the last of these."""
    first, last = union.searchsorted(steps[[0, -1]])
    return int(last - first) + 1


def _interval(steps: Values) -> float:
    """The usual number of steps between two rows."""
    import numpy as np

    return float(np.ceil(np.median(np.diff(steps)))) if len(steps) > 1 else 1.0


def _even(steps: Values, interval: float, points: int) -> Values:
    """Where cells of as many steps begin, which all hold the same number of intervals."""
    import numpy as np

    reach = float(steps[-1] - steps[0])
    width = interval * max(1, ceil((reach / interval + 1) / points))
    starts: Values = steps[0] + width * np.arange(int(reach // width) + 1)
    return starts
