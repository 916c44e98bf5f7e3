"""Which line is whose: names beside the ends of the lines, or below all if they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._text_width import TextMeasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loss_dashboard._typing import Values

    from ._axes import Style

INK = "#333333"
MOST_LABELS = 10  # as many as there are colours, and as the lower panel has room for
SIZE, GAP = 10, 14  # of the names and between their lines, in points
OFFSET = 8  # from the end of a line to its name, in points
WIDEST = 0.25  # of the width of the picture
WIDEST_OF_MANY = 0.32  # of the width of one of several panels beside each other
AT_THE_EDGE = 0.96  # of the width of the panel, from where on names are all written at its edge
SMALL = 9  # the size of the names below


class End(NamedTuple):
    """Where a line ends."""

    step: float
    value: float
    color: str


def add_end(ends: dict[str, End], name: str, steps: Values, values: Values, color: str) -> None:
    """Note the last finite value, if no other run has the loss at a later step."""
    import numpy as np

    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) and (name not in ends or steps[finite[-1]] > ends[name].step):
        ends[name] = End(float(steps[finite[-1]]), float(values[finite[-1]]), color)


def label_ends(axes: Axes, ends: dict[str, End]) -> None:
    """Write each name beside the end of its line, none over another or outside of the panel."""
    axes.autoscale_view()  # matplotlib does it late, and the heights are needed now
    measure = TextMeasure(SIZE, "bold")
    columns = _panels_beside(axes)
    widest = WIDEST if columns == 1 else WIDEST_OF_MANY
    room = widest * _points(axes.figure.bbox.width, axes) / columns - OFFSET
    places = [_place(axes, end) for end in ends.values()]
    gap = min(GAP / _points(axes.bbox.height, axes), 1 / max(1, len(ends) - 1))
    heights = spread([height for _, height in places], gap)
    for (name, end), (across, _), height in zip(ends.items(), places, heights, strict=True):
        axes.annotate(
            measure.fitted(name, room),
            (across, height),
            xytext=(OFFSET, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=end.color,
            fontsize=SIZE,
            fontweight="bold",
            va="center",
            parse_math=False,
            # Within the panel the lines of other runs go on behind it.
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        )


def names_below(figure: Figure, styles: dict[str, Style], *, takes_room: bool = False) -> float:
    """Write the names in columns at the foot of the picture; how many inches they need.

    With a layout engine they take that room themselves.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.lines import Line2D

    width = _points(figure.bbox.width, figure)
    measure = TextMeasure(SMALL)
    names = [measure.fitted(name, WIDEST * width) for name in styles]
    columns = max(1, int(0.95 * width / (max(map(measure.width, names)) + 5.5 * SMALL)))
    rows = -(-len(names) // columns)
    legend = figure.legend(
        [Line2D([], [], **style._asdict()) for style in styles.values()],
        names,
        loc="outside lower center" if takes_room else "lower center",
        ncols=-(-len(names) // rows),
        fontsize=SMALL,
        frameon=False,
        labelcolor=INK,
        handlelength=3,
        columnspacing=1.5,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    FigureCanvasAgg(figure)  # which measures for it
    return legend.get_window_extent().height / figure.dpi


def _place(axes: Axes, end: End) -> tuple[float, float]:
    """Where in the panel a line ends, from 0 to 1 across and upwards."""
    pixels = axes.transData.transform((end.step, end.value))
    across, height = axes.transAxes.inverted().transform(pixels).tolist()
    return 1.0 if across > AT_THE_EDGE else across, height


def _panels_beside(axes: Axes) -> int:
    place = axes.get_subplotspec()
    return place.get_gridspec().ncols if place else 1


def _points(pixels: float, part: Axes | Figure) -> float:
    return pixels / part.figure.dpi * 72


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions from 0 to 1 and at least `gap` apart, in the order of the old ones and near them.

    >>> spread([0.5, 0.5, 0.9], gap=0.25)
    [0.375, 0.625, 0.9]
    >>> spread([0.9, 1.0], gap=0.25)
    [0.75, 1.0]
    """
    clusters: list[list[int]] = []
    for index in sorted(range(len(positions)), key=positions.__getitem__):
        clusters.append([index])
        while len(clusters) > 1 and _overlap(positions, clusters[-2], clusters[-1], gap):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    spaced = {
        index: _first(positions, cluster, gap) + rank * gap
        for cluster in clusters
        for rank, index in enumerate(cluster)
    }
    return [spaced[index] for index in range(len(positions))]


def _first(positions: Sequence[float], cluster: list[int], gap: float) -> float:
    """Where a cluster starts that is centred on the mean of its members, as far as it may be."""
    length = (len(cluster) - 1) * gap
    centred = sum(positions[index] for index in cluster) / len(cluster) - length / 2
    return max(0.0, min(centred, 1 - length))


def _overlap(positions: Sequence[float], lower: list[int], upper: list[int], gap: float) -> bool:
    last = _first(positions, lower, gap) + (len(lower) - 1) * gap
    return _first(positions, upper, gap) - last < gap - 1e-9
