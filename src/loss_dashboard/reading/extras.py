"""The user's own numbers, as of `update(..., extra={"lr": lr})`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.recording import KEYS, STATISTICS

from ._series import Series
from .nonfinite import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from loss_dashboard._typing import Values

VALUE = "value"
"""The column of a number whose name has no slash; that of `val/accuracy` is `val`."""

COLUMNS = ("step", "time", VALUE)
FORESEEN = {*KEYS, *STATISTICS, ABSENT} - {VALUE}


def is_own(column: str) -> bool:
    """Whether a column is for numbers of the user's own.

    >>> is_own("value"), is_own("val"), is_own("weight"), is_own("step")
    (True, True, False, False)
    """
    return column not in FORESEEN


class Extras:
    """Each number as a series of its own, without the lines of a loss that has the same name.

    >>> import numpy as np
    >>> extras = Extras()
    >>> extras.add("kl", ["step", "time", "loss", "value"], np.array([[0.0], [1.5], [0.5], [7.0]]))
    >>> extras.add("kl", ["step", "time", "loss"], np.array([[1.0], [1.5], [0.25]]))
    >>> {name: own["value"].tolist() for name, own in extras.series(losses=["kl"]).items()}
    {'kl': [7.0]}
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def add(
        self,
        name: str,
        columns: Sequence[str],
        values: Values,
        ahead: float = 0.0,
        *,
        is_loss: bool = False,
    ) -> None:
        """Take from lines what is the user's own.

        Args:
            name: Whose lines they are.
            columns: What each row is: the step, the time, and then statistics and numbers.
            values: The lines, as one row of numbers for each of these columns.
            ahead: As for a `Series`.
            is_loss: Whether a line that tells nothing is a loss that is NaN, and no number.
        """
        import numpy as np

        told = ~np.isnan(values)
        told[:2] = False  # the step and the time
        is_silent = np.zeros(told.shape[1], bool) if is_loss else ~told.any(axis=0)
        home = self._home(name, columns)
        for row, column in enumerate(columns):
            if not is_own(column):
                continue
            lines = told[row] | is_silent if column == home else told[row]
            if lines.any():
                own = self._series.setdefault((name, column), Series(COLUMNS))
                own.extend(COLUMNS, values[[0, 1, row]][:, lines], ahead * float(lines.mean()))

    def keep_ends(self, first: int) -> None:
        """Forget all but so many first values of each, and the last one."""
        for series in self._series.values():
            series.keep_ends(first)

    def series(self, losses: Collection[str]) -> dict[str, dict[str, Values]]:
        """The `step`, `time` and `value` of each; of a loss that is NaN none was recorded."""
        import numpy as np

        found = {}
        for (name, column), series in self._series.items():
            own = series.columns
            if name not in losses or not np.isnan(own[VALUE]).all():
                found[name if column == VALUE else f"{column}/{name}"] = own
        return found

    def _home(self, name: str, columns: Sequence[str]) -> str:
        """Of which column a line is that tells nothing: it has a NaN."""
        own = [column for column in columns if is_own(column)]
        known = [column for column in own if (name, column) in self._series]
        return (known or [column for column in own if column == VALUE] or own or [""])[0]
