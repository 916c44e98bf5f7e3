"""The rows that every dashboard is given; needs nothing, so that any environment can import it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("G", "D", "L1", "perceptual")
COLUMNS = ("loss", "weight", "mean", "std", "cov", "weighted")


def rows(count: int = 10**9) -> Iterator[dict[str, float]]:
    """So many steps, each of which is a line a loss in our record."""
    for step in range(count):
        yield {
            f"{column}/{name}": (1 + place) / (1 + step / 100) + (step * 7919 % 1000) / 7e4
            for column in COLUMNS
            for place, name in enumerate(NAMES)
        }
