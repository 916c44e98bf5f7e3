"""Whether what is written still is there: looked at now and then, not at each row."""

from __future__ import annotations

from time import monotonic

from loss_loggers.base._warn import warn

LOOK_ROWS, LOOK_SECONDS = 50, 1.0
"""After so many rows, or so long, somebody looks: that costs more than to write a row."""


class Watch:
    """When to look again, and which rows are lost where something was deleted, replaced or cut.

    What came since the last look may have gone to a file that has no path any more. It is saved
    from there as soon as there is a place for it; until then it counts as lost.

    Attributes:
        rows: How many came since all was seen to be there.
        next_look: When to look again at the latest, by the monotonic clock.

    >>> watch = Watch()
    >>> watch.rows = 3
    >>> watch.missing()
    >>> watch.lost
    3
    >>> watch.found(lost=1)
    >>> watch.rows, watch.lost
    (0, 1)
    """

    def __init__(self) -> None:
        self.rows, self.next_look = 0, 0.0
        self._lost = 0
        self._is_missing = self._is_told = False

    @property
    def lost(self) -> int:
        """How many rows are lost by now."""
        return self._lost + (self.rows if self._is_missing else 0)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self.rows >= LOOK_ROWS or monotonic() >= self.next_look

    def missing(self) -> None:
        """It is there no more, and so far nothing is in its place."""
        self._is_missing = True

    def found(self, lost: int) -> None:
        """There is a place again, for all rows but these."""
        self._lost += lost
        self.rows, self._is_missing = 0, False

    def seen(self) -> None:
        """All is there."""
        self.rows, self._is_missing = 0, False
        self.next_look = monotonic() + LOOK_SECONDS

    def tell(self, what: str, lost: int, where: str) -> None:
        """Warn of it, the first time."""
        if not self._is_told:
            self._is_told = True
            how = f"at least {lost} rows are lost" if lost else "what was written is saved"
            warn(f"{what} was deleted, replaced or cut; {how}, and rows go on {where}")
