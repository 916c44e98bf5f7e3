"""A figure drawn as SVG, which every notebook shows and keeps."""

from __future__ import annotations

from collections import Counter
from html import escape
from itertools import groupby
from math import isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves.decimate import decimate
from loss_dashboard.curves.numbers import DASH, figures
from loss_dashboard.curves.shares import shares_of
from loss_dashboard.runs.colours import readable
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated

    from ._source import Curve

WIDTH, CHART, TOP, HEIGHT, ROW, LEFT = 760, 372, 48, 190, 20, 62
GREY, FAINT = "#767676", "#76767640"  # to be read on light and on dark pages
POINTS = 400
SAMPLE = 22  # the length of the line before a name
NAME, BAR = 20, 176  # characters of a name, and where the bars begin
DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2")
COLUMNS = {"weight": 300, "last": 380, "mean": 470, "std": 560, "CoV": 650}


def draw(title: str, curves: Sequence[Curve]) -> str:
    """The losses and weights over the steps, and a table of where they stand."""
    height = HEIGHT + 40 + ROW * (len(curves) + 1)
    looks = _looks(curves)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' style="max-width: 100%; height: auto"'
        f' role="img" font-family="sans-serif" font-size="12" fill="{GREY}">',
        f"<title>{escape(printable(title))}</title>",
        _text(0, 14, title, weight="bold"),
        *_chart("losses", 0, curves, looks, lambda curve: curve.losses),
        *_chart("weights", WIDTH - CHART, curves, looks, lambda curve: curve.weights),
        *_table(HEIGHT + 44, curves, looks),
        "</svg>",
    ]
    return "\n".join(parts)


class _Look(NamedTuple):
    """How the line of a loss is drawn."""

    color: str
    dash: str


def _looks(curves: Sequence[Curve]) -> dict[str, _Look]:
    """To be seen on light and on dark pages; past the palette colours repeat, with dashes."""
    times: Counter[str] = Counter()
    looks = {}
    for curve in curves:
        looks[curve.name] = _Look(readable(curve.color), DASHES[times[curve.color] % len(DASHES)])
        times[curve.color] += 1
    return looks


class _Frame(NamedTuple):
    """From steps and values to places in a chart."""

    x: int
    first: float
    last: float
    low: float
    high: float
    is_log: bool

    def points(self, steps: Values, values: Values) -> list[tuple[float, float]]:
        """Where values stand; NaN where they are not finite."""
        import numpy as np

        across = (steps - self.first) / max(self.last - self.first, 1)
        scaled = np.where(np.isfinite(values), values, np.nan)
        low, high = self.low, self.high
        if self.is_log:
            scaled, low, high = np.log(scaled), float(np.log(low)), float(np.log(high))
        up = (scaled - low) / (high - low) if high > low else np.full(len(scaled), 0.5)
        xs = self.x + LEFT + across * (CHART - LEFT - 6)
        ys = HEIGHT - up * (HEIGHT - TOP)
        return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _chart(
    name: str,
    x: int,
    curves: Sequence[Curve],
    looks: Mapping[str, _Look],
    values_of: Callable[[Curve], Values],
) -> list[str]:
    import numpy as np

    shown = [(curve, _decimated(curve.steps, values_of(curve))) for curve in curves]
    # How far they reach as well, so that a spike is on the scale.
    reach = [one for _, points in shown for one in (points.mean, points.low, points.high)]
    values = np.concatenate(reach or [np.empty(0)])
    values = values[np.isfinite(values)]
    parts = [_text(x + LEFT, 34, name)]
    if not len(values):
        return [*parts, _text(x + LEFT, 110, "no values yet")]
    steps = np.concatenate([points.x for _, points in shown])
    low, high = float(values.min()), float(values.max())
    frame = _Frame(x, steps.min(), steps.max(), low, high, name == "losses" and low > 0)
    for curve, points in shown:
        parts.append(_line(frame.points(points.x, points.mean), looks[curve.name]))
        parts.append(_spikes(frame, points, looks[curve.name].color))
        lost = points.x[points.nonfinite > 0] if name == "losses" else points.x[:0]
        marks = frame.points(lost, np.full(len(lost), high))
        color = looks[curve.name].color
        parts += [_text(at, TOP - 2, "x", "middle", color=color) for at, _ in marks]
    return parts + _scale(frame)


def _spikes(frame: _Frame, points: Decimated, color: str) -> str:
    """From each mean to an extreme that is far from it, a quarter of the chart."""
    all_three = (frame.points(points.x, own) for own in (points.mean, points.low, points.high))
    ways = []
    for (x, middle), *extremes in zip(*all_three, strict=True):
        far = [end for _, end in extremes if abs(end - middle) > (HEIGHT - TOP) / 4]
        if far:
            ways.append(f"M{x:.0f},{max(middle, *far):.0f}V{min(middle, *far):.0f}")
    return f'<path d="{"".join(ways)}" fill="none" stroke="{escape(color)}"/>'


def _decimated(steps: Values, values: Values) -> Decimated:
    few = decimate(steps, values, POINTS)
    few.x[-1:] = steps[-1:]  # so that a line ends where the run does
    return few


def _scale(frame: _Frame) -> list[str]:
    """The highest and lowest value, the first and last step."""
    left, right = frame.x + LEFT, frame.x + CHART
    return [
        *(_rule(frame.x, y) for y in (TOP, HEIGHT)),
        _text(left - 4, TOP + 4, f"{frame.high:.3g}", "end"),
        _text(left - 4, HEIGHT, f"{frame.low:.3g}", "end"),
        _text(left, HEIGHT + 14, f"{frame.first:.0f}"),
        _text(right, HEIGHT + 14, f"{frame.last:.0f}", "end"),
    ]


def _table(top: int, curves: Sequence[Curve], looks: Mapping[str, _Look]) -> list[str]:
    """A line per loss; for a part of the objective with a bar for its share of the weights."""
    rows = [_numbers(curve) for curve in curves]
    shares = shares_of(
        {
            curve.name: row["weight"] if curve.is_part else nan
            for curve, row in zip(curves, rows, strict=True)
        }
    )
    parts = [_text(x, top, name, "end") for name, x in COLUMNS.items()]
    for index, (curve, row) in enumerate(zip(curves, rows, strict=True), 1):
        y, share, look = top + ROW * index, shares[curve.name], looks[curve.name]
        parts.append(_line([(0, y - 4), (SAMPLE, y - 4)], look))
        parts.append(_text(SAMPLE + 6, y, curve.name[:NAME], weight="bold", color=look.color))
        parts.append(_bar(y, 0.0 if share != share else share, look.color))
        parts += [_text(x, y, _word(name, row[name]), "end") for name, x in COLUMNS.items()]
    return parts


def _word(column: str, number: float) -> str:
    """A dash where there is no number: only a last value is lost, and says so."""
    return DASH if isnan(number) and column != "last" else figures(number)


def _numbers(curve: Curve) -> dict[str, float]:
    """Where a loss stands."""
    import numpy as np

    finite = curve.losses[np.isfinite(curve.losses)]
    mean, std = (finite.mean(), finite.std()) if len(finite) else (np.nan, np.nan)
    return {
        "weight": float(curve.weights[-1]),
        "last": float(curve.losses[-1]),
        "mean": float(mean),
        "std": float(std),
        "CoV": float(std / abs(mean)) if mean else float("nan"),
        **curve.statistics,
    }


def _text(
    x: float, y: float, text: str, anchor: str = "start", weight: str = "normal", color: str = GREY
) -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="{escape(color)}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(printable(text))}</text>'


def _rule(x: int, y: int) -> str:
    return f'<path d="M{x + LEFT} {y}H{x + CHART}" stroke="{FAINT}"/>'


def _line(points: Sequence[tuple[float, float]], look: _Look) -> str:
    """A line that is broken where nothing is known; a point between two gaps is a dot."""
    known = groupby(points, lambda point: point[1] == point[1])
    runs = [list(run) for is_known, run in known if is_known]
    dots = "".join(f"M{x:.1f},{y:.1f}h0" for (x, y), *more in runs if not more)
    lines = "".join("M" + " ".join(f"{x:.1f},{y:.1f}" for x, y in run) for run in runs if run[1:])
    style = f'fill="none" stroke="{escape(look.color)}" stroke-linecap="round"'
    return (
        f'<path d="{lines}" {style} stroke-width="1.6" stroke-dasharray="{look.dash}"/>'
        f'<path d="{dots}" {style} stroke-width="3.5"/>'
    )


def _bar(y: int, share: float, color: str) -> str:
    return (
        f'<rect x="{BAR}" y="{y - 9}" width="{80 * share:.1f}" height="9" rx="2"'
        f' fill="{escape(color)}"/>'
    )
