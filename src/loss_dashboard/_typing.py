"""What checkers alone read: types that many rooms name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Values = NDArray[float64]
    Columns = dict[str, Values]
    """The `step` and other columns of one loss, of one length."""
