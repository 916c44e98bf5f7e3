"""The final values of groups, as rows of a table: those of a loss from the smallest mean on."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_dashboard.curves.numbers import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._form import Group
    from ._grouped import Final, GroupedLoss

HEADINGS = ("loss", "group", "mean", "± 95 %", "n", "smallest", "largest", "last step")


class FinalRow(NamedTuple):
    """How a loss ended in a group; `half` is NaN where one run has no interval."""

    loss: str
    group: int
    final: Final

    @property
    def mean(self) -> float:
        """Over the runs."""
        return float(self.final.mean.mean[0])

    @property
    def half(self) -> float:
        """Of the interval, from the mean to either end."""
        return float(self.final.mean.half[0])

    @property
    def n(self) -> int:
        """Of the runs that ended with a finite value."""
        return int(self.final.mean.n[0])

    def told(self) -> dict[str, Any]:
        """The row as plain numbers; what there is none of is None."""
        final = self.final
        return {
            "loss": self.loss,
            "group": self.group,
            "mean": plain(self.mean),
            "half": plain(self.half),
            "n": self.n,
            "lost": final.lost,
            "least": plain(final.least),
            "greatest": plain(final.greatest),
            "steps": final.steps,
        }


def final_rows(losses: Sequence[GroupedLoss], groups: Sequence[Group]) -> Iterator[FinalRow]:
    """A row for each loss of each group that has it."""
    for loss in losses:
        finals = [
            FinalRow(loss.name, at, final)
            for at in range(len(groups))
            if (final := loss.curves[at].final) is not None
        ]
        yield from sorted(finals, key=lambda row: row.mean if row.n else inf)
