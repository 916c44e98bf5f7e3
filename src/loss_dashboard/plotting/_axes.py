"""How a panel looks: little ink, all the room there is, crosses where a loss was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated

Dashes = tuple[int, tuple[float, ...]]

INK, GREY, FAINT = "#333333", "#777777", "#e5e5e5"
EDGE = 0.025  # of the width, beside all that is drawn
WIDTH, HEIGHT, BOTTOM = 10.0, 6.6, 0.6  # inches of a picture and below its panels
DASHES: tuple[Dashes, ...] = (
    (0, ()),
    (0, (4, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (2.5, 1.2)),
    (0, (8, 2.5)),
    (0, (0.6, 1.2)),
)
"""How the lines of the first run are drawn, and those of the others; or, where one run has more
losses than there are colours, those of the first loss with a colour, and those of the others."""


class Style(NamedTuple):
    """How a line is drawn."""

    color: str
    linestyle: Dashes
    linewidth: float


def clear(axes: Axes, title: str, note: str = "") -> None:
    """A panel without a box, named in its corner, with a note on its scale."""
    axes.set_title(f"{title} ({note})" if note else title, loc="left", color=INK, fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9, length=0)
    axes.margins(x=0)


def draw_line(axes: Axes, steps: Values, values: Values, style: Style) -> None:
    """A line, and a dot where it ends, or between two values that were lost, where it has none."""
    import numpy as np

    axes.plot(*_parted(steps, values), **style._asdict())
    finite = np.isfinite(np.concatenate([[np.nan], values, [np.nan]]))
    is_dot = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    is_dot[-1:] = True
    axes.plot(steps[is_dot], values[is_dot], "o", color=style.color, markersize=4, clip_on=False)


def draw_band(axes: Axes, values: Decimated, color: str) -> None:
    """Faintly, the values as they came and how far they reach."""
    import numpy as np

    steps, reach = values.x, values.mean
    if not np.array_equal(values.low, values.high, equal_nan=True):
        # From the least to the greatest value of each part, so that a spike keeps its height.
        steps = np.repeat(values.x, 2)
        reach = np.stack([values.low, values.high], axis=1).ravel()
    axes.plot(*_parted(steps, reach), color=color, alpha=0.25, linewidth=0.6)
    x, low, high = _parted(values.x, values.low, values.high)
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)


def _parted(steps: Values, *values: Values) -> list[Values]:
    """The same with a gap where a run went back, as one that was resumed may have."""
    import numpy as np

    back = 1 + np.flatnonzero(steps[1:] < steps[:-1])
    return [np.insert(one, back, np.nan) for one in (steps, *values)]


def mark_nonfinite(axes: Axes, steps: Values, color: str, row: int) -> None:
    """A cross above the steps whose loss was not finite, one row per loss."""
    import numpy as np

    height = np.full(len(steps), 0.97 - 0.05 * (row % 10))
    axes.plot(steps, height, "x", color=color, transform=axes.get_xaxis_transform())


def frame(figure: Figure, above: float, below: float, height: float = HEIGHT) -> None:
    """Leave so many inches for what stands above and below the panels, which keep their size."""
    figure.set_figheight(height + below)
    whole = figure.get_figheight()
    figure.subplots_adjust(top=1 - above / whole, bottom=(BOTTOM + below) / whole, hspace=0.17)


def fit(figure: Figure) -> None:
    """Give the panels what the numbers on their left and the names on their right leave.

    A layout engine measures everything, several times, for a tenth of a second.

    Args:
        figure: Panels above one another, with all that is in them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Annotation

    FigureCanvasAgg(figure)  # which measures for it
    width = figure.bbox.width
    numbers = [axes.yaxis.get_tightbbox() for axes in figure.axes]
    starts = [axes.bbox.x0 - box.x0 for axes, box in zip(figure.axes, numbers, strict=True) if box]
    left = EDGE + max(starts, default=0) / width
    room = 1 - EDGE - left
    names = [(axes, text) for axes in figure.axes for text in axes.texts]
    ends = [_end(axes, text) for axes, text in names if isinstance(text, Annotation)]
    widths = [(room - beyond / width) / across for across, beyond in ends if across > 0]
    figure.subplots_adjust(left=left, right=left + min([room, *widths]))


def _end(axes: Axes, text: Annotation) -> tuple[float, float]:
    """Where in the panel a name belongs, as a part of its width, and how far it reaches from there.

    The latter in pixels.
    """
    across = text.xy[0]
    return across, text.get_window_extent().x1 - axes.bbox.x0 - across * axes.bbox.width
