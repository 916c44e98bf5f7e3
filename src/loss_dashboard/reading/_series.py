"""The numbers of one loss, in arrays that have room to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard._typing import Values

SLACK = 1.1  # lines still to come may be shorter than those that are known


class Series:
    """A table that grows by lines, and sometimes by a column.

    >>> import numpy as np
    >>> series = Series()
    >>> series.extend(["step", "loss"], np.array([[0.0, 1.0], [0.5, 0.25]]))
    >>> series.extend(["step", "weight"], np.array([[2.0], [0.125]]))
    >>> {name: values.tolist() for name, values in series.columns.items()}
    {'step': [0.0, 1.0, 2.0], 'loss': [0.5, 0.25, nan], 'weight': [nan, nan, 0.125]}
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        import numpy as np

        self.count = 0
        self._names = list(names)
        self._room = np.empty((len(self._names), 0))

    @property
    def columns(self) -> dict[str, Values]:
        """Each column; a view, which stays as it is when more lines come."""
        return {name: self._room[row, : self.count] for row, name in enumerate(self._names)}

    def extend(self, columns: Sequence[str], values: Values, ahead: float = 0.0) -> None:
        """Append lines, given as one row of numbers for each of these columns.

        Args:
            columns: What each row is.
            values: The numbers.
            ahead: About how many times as many lines come next. Room that stays empty costs no
                memory; lines that move to a larger room do, twice.
        """
        end = self.count + values.shape[1]
        self._make_room(columns, end, end + int(SLACK * ahead * values.shape[1]))
        fresh = self._room[:, self.count : end]
        if list(columns) == self._names:
            fresh[:] = values
        else:
            fresh[:] = float("nan")
            fresh[[self._names.index(name) for name in columns]] = values
        self.count = end

    def keep_ends(self, first: int) -> None:
        """Forget all but so many first lines and the last one."""
        if self.count <= first + 1:
            return
        self._room = self._room[:, [*range(first), self.count - 1]]
        self.count = first + 1

    def _make_room(self, columns: Sequence[str], length: int, expected: int) -> None:
        """Twice as much as is needed, so that a line costs the same however many there are."""
        import numpy as np

        new = [name for name in columns if name not in self._names]
        height, width = self._room.shape
        if not new and length <= width:
            return
        width = width if length <= width else max(2 * length, expected)
        room = np.empty((height + len(new), width))
        room[:height, : self.count] = self._room[:, : self.count]
        room[height:, : self.count] = float("nan")
        self._room = room
        self._names += new
