"""The curves of a run that grows: what was drawn stays, and what was added is drawn on."""

from __future__ import annotations

from functools import partial
from math import ceil, inf
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

from ._curves import draw_curves, draw_extras
from ._grid import Grid, reach
from .decimate import bucket_starts, starts_of_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loss_dashboard._typing import Columns

    from .view_options import ViewOptions

    Key = tuple[str, str]
    """Of which kind it is, and its name: a loss and a number of the user may have the same."""
    Drawn = Mapping[Key, Columns]

DRAWS = {"each": draw_curves, "extras": draw_extras}
"""How losses are drawn, and how the user's own numbers, under the names of their curves."""

POINTS = 8000
"""All curves of a chart share them: many losses get fewer each, so that the page stays quick."""

ROOM = 1.25
"""A curve that grows may have so many times its points; then all of it is drawn anew."""


class Known(NamedTuple):
    """What somebody has of curves already.

    Attributes:
        drawing: the name of the drawing.
        buckets: so many of its first buckets, all of them full.
    """

    drawing: str = ""
    buckets: int = 0


class LiveCurves:
    """The curves of all losses and own numbers of a run, over the same steps, for one view.

    Buckets that are full never change: smoothing looks back only. So a look at a run costs as
    much as what was added since the last one, however long the run is.
    """

    def __init__(self, options: ViewOptions) -> None:
        self._options = options
        self._back = max(options.smoothing, options.window)
        self._begun: object = None
        self._begin()

    def draw(
        self, losses: Mapping[str, Columns], extras: Mapping[str, Columns], times_begun: int = 0
    ) -> dict[str, Any]:
        """The curves as they are now; `times_begun` differs once all was read anew."""
        kinds = {"each": losses, "extras": extras}
        series = {(kind, name): own for kind, each in kinds.items() for name, own in each.items()}
        begun = times_begun, tuple(series)
        if begun != self._begun or not self._goes_on(series):
            self._begin()
        self._begun = begun
        points = min(self._options.points, max(60, POINTS // max(1, len(series))))
        drawn = self._draw_on(series, points)
        if len(drawn["step"]) > ROOM * points:
            self._begin()
            drawn = self._draw_on(series, points)
        return {
            **drawn,
            "whole": self._size <= 1 and self._once,
            "range": reach(series.values()),
            "drawing": self._drawing,
            "full": len(self._full["step"]),
        }

    def _begin(self) -> None:
        self._drawing = token_hex(4)  # nobody knows it yet, nor does who asked an earlier server
        first = self._options.first
        self._from = -inf if first is None else first
        self._lines: dict[Key, int] | None = None
        self._size, self._once = 0, True
        self._full: dict[str, Any] = {"step": [], "time": [], **{kind: {} for kind in DRAWS}}

    def _goes_on(self, series: Drawn) -> bool:
        """Whether what was added comes after all that was drawn; a resumed run may go back."""
        lines = self._lines or {}
        steps = (series[key]["step"][line:] for key, line in lines.items())
        return all((own >= self._from).all() for own in steps)

    def _draw_on(self, series: Drawn, points: int) -> dict[str, Any]:
        lines = self._lines or _lines_from(series, self._from) or dict.fromkeys(series, 0)
        shown = {key: self._part(own, lines[key]) for key, own in series.items()}
        cut = partial(starts_of_size, size=self._size) if self._size else None
        first = None if self._from == -inf else self._from
        grid = Grid(
            list(shown.values()),
            first,
            self._options.last,
            cut or partial(bucket_starts, buckets=points),
        )
        self._size = self._size or ceil(grid.length / points)
        self._once &= grid.once
        fresh: dict[str, Any] = {
            "step": [float(step) for step in grid.steps.tolist()],
            "time": [round(moment, 3) for moment in grid.times.tolist()],
        }
        for kind, draw in DRAWS.items():
            fresh[kind] = draw(grid, _of_kind(kind, shown), self._options)
        drawn = _joined(self._full, fresh)
        self._keep(drawn, series, lines)
        return drawn

    def _part(self, own: Columns, line: int) -> Columns:
        """The lines from this one on, after as many as smoothing looks back at."""
        import numpy as np

        end, last = len(own["step"]), self._options.last
        if last is not None:
            within = np.flatnonzero(own["step"][line:] <= last)
            end = line + int(within[-1]) + 1 if len(within) else line
        start = max(0, line - self._back)
        return {column: values[start:end] for column, values in own.items()}

    def _keep(self, drawn: dict[str, Any], series: Drawn, lines: dict[Key, int]) -> None:
        """Keep what is full: all but the last bucket."""
        count = len(drawn["step"]) - 1
        if count < 1:
            return
        if (found := _lines_from(series, drawn["step"][-1], lines)) is not None:
            self._lines, self._from = found, drawn["step"][-1]
            self._full = _part_of(drawn, 0, count)


def without(curves: dict[str, Any], known: Known) -> dict[str, Any]:
    """What is new in curves to somebody who has these; `kept` is how many buckets stay."""
    if known.drawing != curves["drawing"] or not 0 <= known.buckets <= curves["full"]:
        return {**curves, "kept": 0}
    return {**curves, **_part_of(curves, known.buckets, None), "kept": known.buckets}


def _of_kind(kind: str, series: Drawn) -> dict[str, Columns]:
    return {name: own for (its, name), own in series.items() if its == kind}


def _lines_from(
    series: Drawn, step: float, starts: Mapping[Key, int] | None = None
) -> dict[Key, int] | None:
    """The first line of each curve from a step on; None if an earlier line has a later step."""
    import numpy as np

    lines = {}
    for key, own in series.items():
        start = starts[key] if starts else 0
        early = np.flatnonzero(own["step"][start:] < step)
        if len(early) and early[-1] + 1 != len(early):
            return None
        lines[key] = start + len(early)
    return lines


def _joined(full: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    """Two stretches of curves as one."""
    joined = {axis: full[axis] + fresh[axis] for axis in ("step", "time")}
    before = len(full["step"])
    for kind in DRAWS:
        joined[kind] = {}
        for name, curve in fresh[kind].items():
            old = full[kind].get(name, dict.fromkeys(curve, ()))
            own = {column: [*old[column], *values] for column, values in curve.items()}
            own["lost"] = [*old["lost"], *([at + before, n] for at, n in curve["lost"])]
            joined[kind][name] = own
    return joined


def _part_of(drawn: dict[str, Any], first: int, end: int | None) -> dict[str, Any]:
    """Some buckets of curves."""
    part = {axis: drawn[axis][first:end] for axis in ("step", "time")}
    within = range(first, len(drawn["step"]) if end is None else end)
    for kind in DRAWS:
        part[kind] = {}
        for name, curve in drawn[kind].items():
            own = {column: values[first:end] for column, values in curve.items()}
            own["lost"] = [lost for lost in curve["lost"] if lost[0] in within]
            part[kind][name] = own
    return part
