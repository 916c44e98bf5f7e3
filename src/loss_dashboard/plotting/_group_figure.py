"""The picture of groups of runs: a panel for each loss, with means, intervals and single runs."""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves.decimate import Decimated
from loss_dashboard.curves.groups import INTERVAL

from ._axes import DASHES, GREY, INK, Style, clear, draw_line, mark_nonfinite
from ._extremes import draw_extremes
from ._labels import MOST_LABELS, add_end, label_ends, names_below
from ._scales import scale, set_log_limits
from ._text_width import TextMeasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.groups import Group, GroupCurve, GroupedLoss

    from ._labels import End

PANEL = (5.2, 3.1)  # inches of a panel; of many they are smaller
SMALL = (4.0, 2.6)
MANY = 6  # panels
LETTERS = 40
EDGE = 0.012


class _Line(NamedTuple):
    """A group in a panel."""

    name: str
    style: Style
    curve: GroupCurve


def draw_groups(
    groups: Sequence[Group], losses: Sequence[GroupedLoss], key: str, smoothing: int
) -> Figure:
    """The figure of these losses in these groups."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(4, max(1, ceil(sqrt(len(losses)))))
    rows = ceil(len(losses) / columns)
    width, height = PANEL if len(losses) <= MANY else SMALL
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.03)
    figure = Figure((columns * width, rows * height + 0.8), layout=layout)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    is_crowded = len(groups) > MOST_LABELS
    for axes, loss in zip(panels, losses, strict=False):
        lines = _lines(groups, loss)
        ends = _draw_panel(axes, loss, lines)
        if not is_crowded:
            label_ends(axes, ends)
    for axes in panels[len(losses) :]:
        axes.set_visible(False)
    if is_crowded:
        names_below(figure, _styles(groups, losses[0]), takes_room=True)
    _write_title(figure, groups, key)
    note = _note(groups, losses, smoothing)
    figure.supxlabel(note, x=EDGE, ha="left", color=GREY, fontsize=9)
    return figure


def _styles(groups: Sequence[Group], loss: GroupedLoss) -> dict[str, Style]:
    """A colour for each group, and dashes beside it; one alone has the colour of the loss."""
    return {
        group.name: Style(
            group.colour if len(groups) > 1 else loss.colour, DASHES[at % len(DASHES)], 1.8
        )
        for at, group in enumerate(groups)
    }


def _lines(groups: Sequence[Group], loss: GroupedLoss) -> list[_Line]:
    styles = _styles(groups, loss)
    return [
        _Line(group.name, styles[group.name], curve)
        for group, curve in zip(groups, loss.curves, strict=True)
        if curve.final is not None
    ]


def _draw_panel(axes: Axes, loss: GroupedLoss, lines: Sequence[_Line]) -> dict[str, End]:
    """Single runs faintly, then bands, then means; where these end."""
    ends: dict[str, End] = {}
    note = scale(axes, _extremes(lines))
    bottom = _bottom(lines) if axes.get_yscale() == "log" else -float("inf")
    for row, (_, style, curve) in enumerate(lines):
        _draw_runs(axes, loss, curve, style)
        _draw_interval(axes, loss, curve, style, bottom)
        mark_nonfinite(axes, loss.step[curve.lost > 0], style.color, row)
    for name, style, curve in lines:
        seen = curve.mean.n > 0
        if not seen.any():
            continue
        draw_line(axes, loss.step[seen], curve.mean.mean[seen], style)
        add_end(ends, name, loss.step, curve.mean.mean, style.color)
    clear(axes, TextMeasure(11).fitted(loss.name, inf, LETTERS), note)
    axes.title.set_parse_math(False)
    _limit(axes, lines)
    axes.set_xlabel("step", color=GREY, fontsize=9)
    return ends


def _draw_runs(axes: Axes, loss: GroupedLoss, curve: GroupCurve, style: Style) -> None:
    """Each run of several, over the cells in which it has a value, and its extremes.

    One alone has the line of its group.
    """
    each = zip(curve.runs, curve.lows, curve.highs, curve.seen, strict=True)
    for mean, low, high, seen in each:
        run = Decimated(loss.step[seen], mean[seen], low[seen], high[seen], curve.lost[seen])
        if len(curve.runs) > 1:
            axes.plot(run.x, run.mean, color=style.color, alpha=0.22, linewidth=0.6)
        draw_extremes(axes, run, run.mean, style.color)


def _extremes(lines: Sequence[_Line]) -> list[Values]:
    """How far the single runs reach."""
    return [ends.ravel() for line in lines for ends in (line.curve.lows, line.curve.highs)]


def _draw_interval(
    axes: Axes, loss: GroupedLoss, curve: GroupCurve, style: Style, bottom: float
) -> None:
    import numpy as np

    known = curve.mean.half == curve.mean.half
    low, high = (curve.mean.mean + sign * curve.mean.half for sign in (-1, 1))
    # What a logarithmic scale cannot show of a band is cut off below all runs.
    axes.fill_between(
        loss.step[known],
        np.maximum(low, bottom)[known],
        high[known],
        color=style.color,
        alpha=0.2,
        linewidth=0,
    )


def _bottom(lines: Sequence[_Line]) -> float:
    import numpy as np

    return min(float(np.nanmin(line.curve.lows)) for line in lines if line.curve.mean.n.any()) / 10


def _limit(axes: Axes, lines: Sequence[_Line]) -> None:
    """As far as single runs reach: the interval of two runs may be thirteen times as wide."""
    import numpy as np

    known = [ends[np.isfinite(ends)] for ends in _extremes(lines)]
    values = np.concatenate(known or [np.empty(0)])
    if not len(values) or axes.get_yscale() == "symlog":  # which has its limits
        return
    if axes.get_yscale() == "log":
        set_log_limits(axes, values, 0.06)


def _write_title(figure: Figure, groups: Sequence[Group], key: str) -> None:
    runs = sum(len(group.members) for group in groups)
    title = f"{runs} runs by {key}" if key else f"{runs} runs"
    if len(groups) == 1 and key:
        title = f"{groups[0].name}, {runs} runs"
    size = 13
    measure = TextMeasure(size, "bold")
    room = 72 * figure.get_figwidth() - 30
    figure.suptitle(
        measure.fitted(title, room, letters=120),
        x=EDGE,
        ha="left",
        color=INK,
        fontsize=size,
        fontweight="bold",
        parse_math=False,
    )


def _note(groups: Sequence[Group], losses: Sequence[GroupedLoss], smoothing: int) -> str:
    """What is drawn."""
    means = [steps for loss in losses if (steps := _steps_in_a_point(loss)) > 1]
    words = [
        f"bands: {INTERVAL}" if any(len(group.members) > 1 for group in groups) else "",
        "lines: means over runs; faint: single runs" if len(groups[0].members) > 1 else "",
        f"mean of the last {smoothing:,} steps" if smoothing > 1 else "",
        f"points: means of {max(means):,.0f} steps; strokes: extremes" if means else "",
    ]
    return "   ".join(filter(None, words))


def _steps_in_a_point(loss: GroupedLoss) -> float:
    if loss.whole or len(loss.step) < 2:
        return 1.0
    return round(float(loss.step[-1] - loss.step[0]) / (len(loss.step) - 1))
