"""Numbers and tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evidence.compare import Comparison

_MARKS = {"win": "**", "tie": "", "loss": "*"}
_NEAR_ONE = 0.05


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column is on the left."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "".join(f"- {line}\n" for line in lines)


def number(value: float) -> str:
    """Two decimals, fewer for large numbers.

    >>> [number(value) for value in (0.054, 0.999, 1.5, 12.3, 4687077.0)]
    ['.05', '1.00', '1.50', '12', '4,687,077']
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}".removeprefix("0")


def ratio(value: float) -> str:
    """The same with three decimals near 1, where they decide; 1 alone is what is equal.

    >>> [ratio(value) for value in (0.054, 0.974, 1, 1.0002, 1.06)]
    ['.05', '.974', '1', '1.000', '1.06']
    """
    if value == 1:
        return "1"
    return number(value) if abs(value - 1) >= _NEAR_ONE else f"{value:.3f}".removeprefix("0")


def marked(one: Comparison, sign: str = "") -> str:
    """Its ratio: bold for a win, in italics for a loss."""
    mark = _MARKS[one.verdict]
    return f"{mark}{ratio(one.ratio)}{mark}{sign}"


def with_interval(one: Comparison, sign: str = "") -> str:
    """Its ratio and interval, marked alike."""
    mark = _MARKS[one.verdict]
    return f"{mark}{ratio(one.ratio)} [{ratio(one.low)}, {ratio(one.high)}]{mark}{sign}"


def counted(count: int, thing: str) -> str:
    """So many of a thing.

    >>> counted(1, "miss", ), counted(2, "seed")
    ('1 miss', '2 seeds')
    """
    plural = "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{'' if count == 1 else plural}"
