"""How a panel looks: little ink, names where the lines end, crosses where a loss was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._lines import Values
    from .decimate import Decimated

    Dashes = tuple[int, tuple[float, ...]]

INK, GREY, FAINT = "#333333", "#777777", "#e5e5e5"
LABEL_SIZE = 10
EDGE = 0.025  # of the width, beside all that is drawn
NARROW = 0.3  # of the width, which the longest names leave to the panels
DASHES: tuple[Dashes, ...] = ((0, ()), (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""How the lines of the first run are drawn, and those of the others."""


def clear(axes: Axes, title: str) -> None:
    """A panel without a box, named in its corner."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9, length=0)
    axes.margins(x=0)


def draw_line(axes: Axes, steps: Values, values: Values, color: str, run: int) -> None:
    """A line in the manner of its run, and a dot where it ends, which shows a single step, too."""
    style = DASHES[run % len(DASHES)]
    axes.plot(steps, values, color=color, linewidth=1.2 if run else 1.8, linestyle=style)
    axes.plot(steps[-1:], values[-1:], "o", color=color, markersize=4, clip_on=False)


def draw_band(axes: Axes, values: Decimated, color: str) -> None:
    """Faintly, the values as they came and how far they reach."""
    axes.plot(values.x, values.mean, color=color, alpha=0.25, linewidth=0.6)
    axes.fill_between(values.x, values.low, values.high, color=color, alpha=0.12, linewidth=0)


def scale(axes: Axes, curves: list[Values]) -> None:
    """Logarithmic where all losses are positive, with numbers that people read."""
    import numpy as np
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves] or [np.empty(0)])
    if not len(values) or values.min() <= 0:
        return
    axes.set_yscale("log")
    decades = np.log10(values.max() / values.min())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def mark_nonfinite(axes: Axes, steps: Values, color: str, row: int) -> None:
    """A cross above the steps whose loss was not finite, one row per loss."""
    import numpy as np

    height = np.full(len(steps), 0.97 - 0.05 * (row % 10))
    axes.plot(steps, height, "x", color=color, transform=axes.get_xaxis_transform())


def label_ends(axes: Axes, curves: dict[str, tuple[Values, str]]) -> None:
    """Write each name and last value beside the end of its line, none over another."""
    import numpy as np

    axes.autoscale_view()  # matplotlib does it late, and the heights are needed now
    finite = {name: curve[np.isfinite(curve)] for name, (curve, _) in curves.items()}
    ends = {name: float(values[-1]) for name, values in finite.items() if len(values)}
    heights = spread([_height(axes, end) for end in ends.values()], _line_height(axes))
    for (name, end), height in zip(ends.items(), heights, strict=True):
        axes.annotate(
            f"{name}  {end:.3g}",
            (1, height),
            xytext=(8, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=curves[name][1],
            fontsize=LABEL_SIZE,
            fontweight="bold",
            va="center",
        )


def fit(figure: Figure, above: float) -> None:
    """Give the panels what the numbers on their left and the names on their right leave.

    A layout engine measures everything, several times, for a tenth of a second.

    Args:
        figure: Panels above one another.
        above: The part of the height that is left for what stands above them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)  # which measures for it
    width = figure.bbox.width
    numbers = [axes.yaxis.get_tightbbox() for axes in figure.axes]
    starts = [axes.bbox.x0 - box.x0 for axes, box in zip(figure.axes, numbers, strict=True) if box]
    names = [(axes, text.get_window_extent()) for axes in figure.axes for text in axes.texts]
    ends = [box.x1 - axes.bbox.x1 for axes, box in names]
    left, right = EDGE + max(starts, default=0) / width, EDGE + max(ends, default=0) / width
    figure.subplots_adjust(
        left=left, right=max(left + NARROW, 1 - right), top=1 - above, bottom=0.09, hspace=0.17
    )


def _height(axes: Axes, value: float) -> float:
    """Where a value stands in the panel, from 0 at the bottom to 1 at the top."""
    pixels = axes.transData.transform((0, value))
    height: float = axes.transAxes.inverted().transform(pixels)[1]
    return height


def _line_height(axes: Axes) -> float:
    """The height of a line of text, as a part of the panel's."""
    points = axes.bbox.height / axes.figure.dpi * 72
    return 1.4 * LABEL_SIZE / points


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Positions at least `gap` apart, in the order of the old ones and near them.

    >>> spread([0.5, 0.5, 0.9], gap=0.25)
    [0.375, 0.625, 0.9]
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
    """Where a cluster starts that is centred on the mean of its members."""
    return sum(positions[index] for index in cluster) / len(cluster) - (len(cluster) - 1) * gap / 2


def _overlap(positions: Sequence[float], lower: list[int], upper: list[int], gap: float) -> bool:
    last = _first(positions, lower, gap) + (len(lower) - 1) * gap
    return _first(positions, upper, gap) - last < gap - 1e-9
