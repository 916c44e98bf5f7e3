"""The numbers of one loss, in arrays that have room to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._lines import Values


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

    def extend(self, columns: Sequence[str], values: Values) -> None:
        """Append lines, given as one row of numbers for each of these columns."""
        end = self.count + values.shape[1]
        self._make_room(columns, end)
        fresh = self._room[:, self.count : end]
        if list(columns) == self._names:
            fresh[:] = values
        else:
            fresh[:] = float("nan")
            fresh[[self._names.index(name) for name in columns]] = values
        self.count = end

    def _make_room(self, columns: Sequence[str], length: int) -> None:
        """Twice as much as was needed, so that a line costs the same however many there are."""
        import numpy as np

        new = [name for name in columns if name not in self._names]
        height, width = self._room.shape
        if not new and length <= width:
            return
        room = np.empty((height + len(new), width if length <= width else 2 * length))
        room[:height, : self.count] = self._room[:, : self.count]
        room[height:, : self.count] = float("nan")
        self._room = room
        self._names += new
