"""A small curve of each loss, beside its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .decimate import decimate
from .numbers import numbers

if TYPE_CHECKING:
    from loss_dashboard._typing import Values

    from .numbers import Number

POINTS = 48


class Sparklines:
    """The means of whole losses, drawn anew whenever there is a point more to show.

    >>> import numpy as np
    >>> sparklines = Sparklines()
    >>> sparklines.draw("G", np.arange(96.0), 1)[:3]
    [0.5, 2.5, 4.5]
    >>> len(sparklines.draw("G", np.arange(97.0), 1)), sparklines.draw("G", np.arange(98.0), 1)[-1]
    (48, 96.0)
    """

    def __init__(self) -> None:
        self._drawn: dict[str, tuple[int, int, list[Number]]] = {}

    def draw(self, name: str, loss: Values, times_begun: int) -> list[Number]:
        """The curve of this loss; `times_begun` differs once it was read anew."""
        begun, length, spark = self._drawn.get(name, (0, 0, []))
        if begun != times_begun or not length <= len(loss) < length + length / POINTS:
            length, spark = len(loss), numbers(decimate(loss, loss, POINTS).mean).tolist()
            self._drawn[name] = times_begun, length, spark
        return spark
