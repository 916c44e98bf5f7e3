"""What was read of a run: the numbers of each loss, and those of its user."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from loss_loggers.alerts import is_total
from loss_loggers.text import printable

from ._series import Series
from .extras import Extras, is_own

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from loss_dashboard._typing import Values
    from loss_loggers.recording import Block

FIRST = 100
"""So many lines tell whether something that run.json does not name is a loss."""


class Rows:
    """Grows by blocks of lines.

    Args:
        wanted: The statistics to keep; None for all.
        always: The statistics that every series has, if only as NaN.

    Attributes:
        series: what is known of each loss, in order of appearance.
        extras: the user's own numbers.
        lines: how many lines there were.
        refused: how many lines made no sense.
    """

    def __init__(self, wanted: Collection[str] | None, always: Sequence[str]) -> None:
        self._wanted = None if wanted is None else {*always, *wanted}
        self._always = tuple(always)
        self.series: dict[str, Series] = {}
        self.extras = Extras()
        self.lines = self.refused = 0

    def columns_of(self, header: Sequence[str]) -> set[str] | None:
        """The columns to read of a file with this header; None for all."""
        return None if self._wanted is None else {*self._wanted, *filter(is_own, header)}

    def add(
        self, block: Block, each: Mapping[str, Values], ahead: float, losses: Collection[str]
    ) -> None:
        """Give each loss its lines, and each number of the user its own.

        Args:
            block: The lines.
            each: The numbers of each name in them.
            ahead: As for a `Series`.
            losses: The names that are known to be of losses.
        """
        columns, rows = self._of_losses(block.columns)
        for name, values in each.items():
            own = self.series.setdefault(name, Series(("step", "time", *self._always)))
            own.extend(columns, values if len(rows) == len(values) else values[rows], ahead)
            if any(map(is_own, block.columns)):
                self.extras.add(name, block.columns, values, ahead, is_loss=name in losses)
        self.lines += len(block.codes)
        self.refused += block.refused

    def losses(self, colours: Mapping[str, str]) -> list[str]:
        """The losses, except their total: those that have a colour, or values as losses have."""
        names = [name for name in self.series if not is_total(name)]
        columns = ("loss",) if colours else ("loss", "weight")
        return [name for name in names if name in colours or self._has_any(columns, name)]

    def totals(self, colours: Collection[str]) -> list[str]:
        """The objectives that were recorded beside the losses; one that was ever lost, too."""
        names = [name for name in self.series if is_total(name)]
        return [name for name in names if name in colours or self._has_any(("loss",), name)]

    def best(self, name: str) -> float:
        """The smallest finite value of a loss or total; infinite if there is none."""
        import numpy as np

        values = self.series[name].columns["loss"]
        return float(np.min(values, where=np.isfinite(values), initial=inf))

    def _of_losses(self, columns: Sequence[str]) -> tuple[list[str], list[int]]:
        """Those of the columns that every series has, and where they are."""
        wanted = self._wanted
        rows = [
            row
            for row, column in enumerate(columns)
            if wanted is None or column in wanted or not is_own(column)
        ]
        return [columns[row] for row in rows], rows

    def _has_any(self, told: Collection[str], name: str) -> bool:
        """Whether its first lines have a finite number in one of these columns."""
        import numpy as np

        columns = self.series[name].columns
        return any(np.isfinite(columns[it][:FIRST]).any() for it in told if it in columns)


def by_name(block: Block) -> dict[str, Values]:
    """For each name its lines, as one row of numbers for each column."""
    import numpy as np

    if not len(block.codes):
        return {}
    # Few names are sorted by counting, as long as their codes are short.
    order = np.argsort(block.codes.astype(np.min_scalar_type(len(block.names))), kind="stable")
    ends = np.cumsum(np.bincount(block.codes, minlength=len(block.names)))
    parts = np.split(np.take(block.values, order, axis=1), ends[:-1], axis=1)
    names = [printable(name.decode(errors="replace")) for name in block.names]
    # Names that are no text, or have controls in them, may become the same.
    each: dict[str, Values] = {}
    for name, part in zip(names, parts, strict=True):
        if part.shape[1]:
            each[name] = np.hstack([each[name], part]) if name in each else part
    return each


class FewRows(Rows):
    """The same, of which only the first and the last row of each loss stay, and its best value.

    So a run takes no room, however long it is.
    """

    def __init__(self, wanted: Collection[str] | None, always: Sequence[str]) -> None:
        super().__init__(wanted, always)
        self._best: dict[str, float] = {}

    def add(
        self, block: Block, each: Mapping[str, Values], ahead: float, losses: Collection[str]
    ) -> None:
        """As for all rows; however many come next, no room is made for them."""
        super().add(block, each, min(ahead, 0.0), losses)
        for name in each:
            self._best[name] = min(self.best(name), super().best(name))
            self.series[name].keep_ends(FIRST)
        self.extras.keep_ends(FIRST)

    def best(self, name: str) -> float:
        """The smallest of all finite values."""
        return self._best.get(name, inf)
