"""The picture of runs: their losses above their weights."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves.decimate import decimate
from loss_dashboard.curves.smooth import smooth
from loss_dashboard.runs.run_json import method_in, settings_in

from ._axes import (
    DASHES,
    EDGE,
    GREY,
    HEIGHT,
    INK,
    WIDTH,
    Style,
    clear,
    draw_band,
    draw_line,
    fit,
    frame,
    mark_nonfinite,
)
from ._extremes import draw_extremes
from ._labels import MOST_LABELS, add_end, label_ends, names_below
from ._scales import scale
from ._text_width import TextMeasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated
    from loss_dashboard.reading import RunReader

    from ._labels import End

THIN = 0.6
"""The line of a validation, as a part of that of its loss."""

POINTS = 1000  # as many as a picture can show
SMOOTHED = 100  # the clear line is the mean of one such part of the run
TITLE = 13  # points of its letters


def draw_runs(readers: Sequence[RunReader], x: str = "step") -> Figure:
    """The figure of runs that were read, over steps or, if all have them, epochs."""
    from matplotlib.figure import Figure

    has_epochs = x == "epoch"
    ratios = (3, 2, 2) if has_epochs else (3, 2)
    height = HEIGHT * sum(ratios) / 5
    figure = Figure(figsize=(WIDTH, height))
    losses, weights, *more = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    curves = _curves(readers, x)
    ends = [_draw_losses(losses, curves, readers, x), _draw_weights(weights, curves)]
    ends += [_draw_epochs(axes, curves, readers) for axes in more]
    figure.axes[-1].set_xlabel(x, color=GREY)
    rows = _name_runs(losses, readers) if len(readers) > 1 else 0
    styles = {curve.name: curve.style for curve in reversed(curves)}
    is_crowded = len(styles) > MOST_LABELS
    names = dict(reversed(styles.items()))
    below = names_below(figure, names) if is_crowded else 0
    frame(figure, 0.8 + 0.2 * max(0, rows - 1), below, height)
    _write_title(figure, readers)
    if not is_crowded:
        for axes, own in zip(figure.axes, ends, strict=True):
            label_ends(axes, own)
    fit(figure)
    return figure


class _Curve(NamedTuple):
    """One loss of a run, as it is drawn."""

    name: str
    run: int
    style: Style
    losses: Decimated
    weights: Decimated
    window: int
    """Of so many steps its clear line is the mean."""


def _curves(readers: Sequence[RunReader], x: str) -> list[_Curve]:
    """The losses of all runs, each with the colour that the first run gives it."""
    colors: dict[str, str] = {}
    for reader in reversed(readers):
        colors |= {name: reader.colour_of(name) for name in reader.losses}
    return [
        _curve(reader, name, run, style, x)
        for run, reader in enumerate(readers)
        for name, style in _styles(reader, colors, run, len(readers)).items()
    ]


def _styles(reader: RunReader, colors: dict[str, str], run: int, runs: int) -> dict[str, Style]:
    """Dashes tell runs apart, and the losses of a single run whose colour is the same.

    A validation has the colour of its loss, and a thin line.
    """
    seen: Counter[str] = Counter()
    styles = {}
    for name in reader.losses:
        color = colors.get(name, GREY)
        dashes = run if runs > 1 else seen[color]
        width = (1.2 if run else 1.8) * (THIN if name in reader.followed else 1)
        styles[name] = Style(color, DASHES[dashes % len(DASHES)], width)
        seen[color] += 1
    return styles


def _curve(reader: RunReader, name: str, run: int, style: Style, x: str) -> _Curve:
    own = reader.series(name)
    losses, weights = (decimate(own["step"], own[key], POINTS) for key in ("loss", "weight"))
    drawn = _over(reader, losses, x), _over(reader, weights, x)
    return _Curve(name, run, style, drawn[0], drawn[1], _window(losses))


def _over(reader: RunReader, values: Decimated, x: str) -> Decimated:
    """The values over steps, as they are, or over epochs."""
    return values if x == "step" else values._replace(x=reader.epochs_at(values.x))


def _draw_losses(
    axes: Axes, curves: list[_Curve], readers: Sequence[RunReader], x: str
) -> dict[str, End]:
    """The panel of losses; where they end."""
    ends: dict[str, End] = {}
    for row, (name, run, style, losses, _, _) in enumerate(curves):
        mean = smooth(losses.mean, window=max(1, len(losses.x) // SMOOTHED))
        _draw_reach(axes, run, losses, mean, style.color)
        draw_line(axes, losses.x, mean, style)
        mark_nonfinite(axes, losses.x[losses.nonfinite > 0], style.color, row)
        add_end(ends, name, losses.x, mean, style.color)
    totals = _draw_totals(axes, readers, ends, x)
    drawn = [curve.losses for curve in curves] + totals
    extremes = [extreme for losses in drawn for extreme in (losses.low, losses.high)]
    clear(axes, _named_smoothing(curves), scale(axes, extremes))
    return ends


def _draw_totals(
    axes: Axes, readers: Sequence[RunReader], ends: dict[str, End], x: str
) -> list[Decimated]:
    """What is optimised, in grey; named as the losses are where there is one run."""
    drawn = []
    for run, reader in enumerate(readers):
        for name in reader.totals:
            own = reader.series(name)
            losses = _over(reader, decimate(own["step"], own["loss"], POINTS), x)
            style = Style(GREY, DASHES[run % len(DASHES)], 1.0)
            mean = smooth(losses.mean, window=max(1, len(losses.x) // SMOOTHED))
            draw_extremes(axes, losses, mean, GREY)
            draw_line(axes, losses.x, mean, style)
            add_end(ends, name, losses.x, mean, GREY)
            drawn.append(losses)
    return drawn


def _draw_reach(axes: Axes, run: int, values: Decimated, line: Values, color: str) -> None:
    """How far the values reach: those of the first run as a band, of others where it is far."""
    if run == 0:
        draw_band(axes, values, color)
    else:
        draw_extremes(axes, values, line, color)


def _named_smoothing(curves: list[_Curve]) -> str:
    """What the panel of losses shows: of how many steps the clear lines are the mean."""
    steps = max((curve.window for curve in curves), default=1)
    return f"losses, mean of {steps:,} steps" if steps > 1 else "losses"


def _window(losses: Decimated) -> int:
    points = max(1, len(losses.x) // SMOOTHED)
    if len(losses.x) < 2:
        return 1
    return round(points * float(losses.x[-1] - losses.x[0]) / (len(losses.x) - 1))


def _draw_weights(axes: Axes, curves: list[_Curve]) -> dict[str, End]:
    """The panel of weights; where they end."""
    ends: dict[str, End] = {}
    for name, run, style, _, weights, _ in curves:
        _draw_reach(axes, run, weights, weights.mean, style.color)
        draw_line(axes, weights.x, weights.mean, style)
        add_end(ends, name, weights.x, weights.mean, style.color)
    clear(axes, "weights")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return ends


def _draw_epochs(axes: Axes, curves: list[_Curve], readers: Sequence[RunReader]) -> dict[str, End]:
    """The panel of the means of epochs, a dot in the middle of each epoch; where they end."""
    import numpy as np

    ends: dict[str, End] = {}
    styles = {(curve.run, curve.name): curve.style for curve in curves}
    drawn = []
    for run, reader in enumerate(readers):
        for name, own in reader.epochs.means.items():
            style = styles.get((run, name)) or Style(GREY, DASHES[run % len(DASHES)], 1.2)
            epochs, _, means, _ = np.array(own, float).T
            middles = epochs + 0.5
            draw_line(axes, middles, means, style)
            axes.plot(middles, means, "o", color=style.color, markersize=3)
            add_end(ends, name, middles, means, style.color)
            drawn.append(means)
    clear(axes, "means of epochs, by samples", scale(axes, drawn))
    return ends


def _name_runs(axes: Axes, readers: Sequence[RunReader]) -> int:
    """Say which line is whose, above the panel; in how many rows."""
    from matplotlib.lines import Line2D

    measure = TextMeasure(10)
    lines = [
        Line2D([], [], color=GREY, linestyle=DASHES[run % len(DASHES)])
        for run in range(len(readers))
    ]
    legend = axes.legend(
        lines,
        [measure.fitted(_title(reader), 150) for reader in readers],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        frameon=False,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return ceil(len(readers) / 3)


def _write_title(figure: Figure, readers: Sequence[RunReader]) -> None:
    names = [reader.name for reader in readers]
    title = " · ".join(names) if len(names) > 1 else _title(readers[0])
    room = 72 * WIDTH * (1 - 2 * EDGE)
    figure.suptitle(
        TextMeasure(TITLE, "bold").fitted(title, room, letters=120),
        x=EDGE,
        y=1 - 0.13 / figure.get_figheight(),
        ha="left",
        color=INK,
        fontsize=TITLE,
        fontweight="bold",
        parse_math=False,
    )


def _title(reader: RunReader) -> str:
    """The run and its method, such as "gan, CoVWeighting"."""
    method = method_in(settings_in(reader.info))
    return ", ".join(filter(None, [reader.name, method]))
