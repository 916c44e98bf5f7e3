"""The losses of groups of runs: means with intervals, single runs, and how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from loss_dashboard.curves.smooth import smooth
from loss_dashboard.runs.run_json import settings_in
from loss_loggers.alerts import is_total
from loss_loggers.recording import GREY

from ._cells import cells_of, have_same_steps
from ._interval import mean_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Columns, Values
    from loss_dashboard.curves.view_options import ViewOptions
    from loss_dashboard.reading import RunReader

    from ._cells import Cells
    from ._form import Group
    from ._interval import Mean

NUMBERS = 120_000
"""All curves of all runs share them: of many losses and runs each curve gets fewer points."""

LEAST = 40
"""A curve of fewer points would tell too little."""


class Member(NamedTuple):
    """What is compared of a run: the columns of each loss, and of the total."""

    name: str
    settings: Mapping[str, Any]
    colours: Mapping[str, str]
    losses: dict[str, Columns]


class Final(NamedTuple):
    """How a loss ended in the runs of a group.

    Attributes:
        mean: of the last values, where they are finite.
        least: the smallest of them.
        greatest: the largest of them.
        lost: how many runs ended with a value that is not finite.
        steps: the smallest and the largest last step.
    """

    mean: Mean
    least: float
    greatest: float
    lost: int
    steps: tuple[float, float]


class GroupCurve(NamedTuple):
    """A loss in a group.

    Attributes:
        mean: of its runs, in each cell.
        runs: the mean of each run in each cell, a row each; NaN where it has no finite value.
        lows: the smallest value of each run in each cell, likewise.
        highs: the largest one.
        seen: whether a run has any row there.
        lost: how many values of its runs were not finite, in each cell.
        final: how it ended; None if no run of the group has the loss.
    """

    mean: Mean
    runs: Values
    lows: Values
    highs: Values
    seen: NDArray[bool_]
    lost: Values
    final: Final | None

    @property
    def low(self) -> Values:
        """The smallest value of any run, in each cell."""
        import numpy as np

        low: Values = np.fmin.reduce(self.lows, initial=np.nan)
        return low

    @property
    def high(self) -> Values:
        """The largest one."""
        import numpy as np

        high: Values = np.fmax.reduce(self.highs, initial=np.nan)
        return high


class GroupedLoss(NamedTuple):
    """A loss of all groups.

    Attributes:
        name: What it is called.
        colour: Its own.
        step: where each cell begins.
        whole: whether each cell is one recorded step.
        last: the last step that was recorded.
        curves: one for each group.
    """

    name: str
    colour: str
    step: Values
    whole: bool
    last: float
    curves: list[GroupCurve]


def member_of(reader: RunReader, name: str = "") -> Member:
    """A run as it has been read."""
    names = [*reader.losses, *reader.totals]
    losses = {loss: reader.series(loss) for loss in names}
    settings = settings_in(reader.info)
    colours = {loss: reader.colour_of(loss) for loss in names}
    return Member(name or reader.name, settings, colours, losses)


def grouped(
    members: Sequence[Member], groups: Sequence[Group], options: ViewOptions
) -> list[GroupedLoss]:
    """Each loss of any run, and the totals behind them, aligned by the recorded step.

    In each cell of steps a run has the mean of its finite values, and a group the mean over its
    runs that have one; so a run counts as long as it lasts, and a NaN leaves its run out of that
    cell alone.

    Args:
        members: The runs.
        groups: Which of them belong together.
        options: Which steps, smoothed over how many, in how many points at most.
    """
    names = dict.fromkeys(name for member in members for name in member.losses)
    ordered = sorted(names, key=is_total)
    curves = sum(name in member.losses for member in members for name in names)
    points = min(options.points, max(LEAST, NUMBERS // max(1, curves)))
    drawn: list[GroupedLoss] = []
    before: list[Columns] = []
    for name in ordered:
        owns = [member.losses[name] for member in members if name in member.losses]
        if not drawn or not have_same_steps(owns, before):
            cells, before = cells_of(owns, options, points), owns
        drawn.append(_loss(name, members, groups, cells, options))
    return drawn


def _loss(
    name: str,
    members: Sequence[Member],
    groups: Sequence[Group],
    cells: Cells,
    options: ViewOptions,
) -> GroupedLoss:
    import numpy as np

    colours = (member.colours[name] for member in members if name in member.colours)
    curves = []
    for group in groups:
        each = [members[at].losses[name] for at in group.members if name in members[at].losses]
        curves.append(_curve(each, cells, options.smoothing))
    ends = [float(member.losses[name]["step"].max()) for member in members if name in member.losses]
    last = min(max(ends), np.inf if options.last is None else options.last)
    return GroupedLoss(name, next(colours, GREY), cells.grid.steps, cells.whole, last, curves)


def _curve(owns: Sequence[Columns], cells: Cells, window: int) -> GroupCurve:
    import numpy as np

    each = [smooth(own["loss"], window) if window > 1 else own["loss"] for own in owns]
    shape = len(owns), len(cells.grid.steps)
    reduced = [
        cells.grid.reduce(own["step"], values) for own, values in zip(owns, each, strict=True)
    ]
    runs = _rows([one.mean for one in reduced], shape)
    seen = np.array([one.seen for one in reduced], bool).reshape(shape)
    lows, highs = (_rows([getattr(one, end) for one in reduced], shape) for end in ("low", "high"))
    if window > 1:  # a mean is finite where a value in it was not
        reduced = [cells.grid.reduce(own["step"], own["loss"]) for own in owns]
    lost = np.nansum(_rows([one.nonfinite for one in reduced], shape), axis=0)
    final = _final(owns, each) if owns else None
    return GroupCurve(mean_over(runs), runs, lows, highs, seen, lost, final)


def _rows(each: Sequence[Values], shape: tuple[int, int]) -> Values:
    """A row for each run; of no run none."""
    import numpy as np

    return np.array(each, dtype=np.float64).reshape(shape)


def _final(owns: Sequence[Columns], each: Sequence[Values]) -> Final:
    """Of the last row of each run, smoothed as its curve is."""
    import numpy as np

    last = np.array([values[-1] for values in each])
    steps = [float(own["step"].max()) for own in owns]
    known = last[np.isfinite(last)]
    least, greatest = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
    mean = mean_over(last[:, np.newaxis])
    return Final(
        mean, float(least), float(greatest), len(last) - len(known), (min(steps), max(steps))
    )
