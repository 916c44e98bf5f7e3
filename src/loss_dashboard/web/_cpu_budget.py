"""How much of a core somebody may take."""

from __future__ import annotations

from time import monotonic


class CpuBudget:
    """Work at once while there is credit, and over time no more than a share of a core.

    >>> budget = CpuBudget(share=0.01, credit=1.0, longest=0.5)
    >>> budget.spend(0.009), budget.rest
    (None, 0.0)
    >>> budget.spend(0.003)
    >>> 0.15 < budget.rest <= 0.2
    True
    >>> budget.spend(60.0)
    >>> 0.45 < budget.rest <= 0.5
    True

    Args:
        share: The part of a core.
        credit: In a pause so many seconds of that part are saved up.
        longest: The longest rest in seconds.
    """

    def __init__(self, share: float, credit: float, longest: float) -> None:
        self._share = share
        self._credit = credit
        self._longest = longest
        self._even_at = 0.0

    @property
    def rest(self) -> float:
        """For how many seconds there should be no work."""
        return max(0.0, self._even_at - monotonic() - self._credit)

    def spend(self, seconds: float) -> None:
        """Tell of work, in seconds of a core."""
        now = monotonic()
        even_at = max(self._even_at, now) + seconds / self._share
        self._even_at = min(even_at, now + self._credit + self._longest)
