"""Numbers and tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from evidence.compare import Comparison

_MARKS = {"win": "**", "tie": "", "loss": "*"}


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose first column has no name of its own."""
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


def marked(one: Comparison) -> str:
    """Its ratio: bold for a win, in italics for a loss."""
    mark = _MARKS[one.verdict]
    return f"{mark}{number(one.ratio)}{mark}"


def with_interval(one: Comparison) -> str:
    """Its ratio and interval, marked alike."""
    mark = _MARKS[one.verdict]
    return f"{mark}{number(one.ratio)} [{number(one.low)}, {number(one.high)}]{mark}"


def counted(count: int, thing: str) -> str:
    """So many of a thing.

    >>> counted(1, "miss", ), counted(2, "seed")
    ('1 miss', '2 seeds')
    """
    plural = "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{'' if count == 1 else plural}"
