"""What somebody wants to see of a run."""

from __future__ import annotations

from typing import NamedTuple


class ViewOptions(NamedTuple):
    """What is asked for.

    Attributes:
        first: the first step, by default of all.
        last: the last step, likewise.
        follow: the window from the first to the last step moves with the end of the run.
        smoothing: losses are averaged over so many steps.
        points: at most so many for each curve.
        window: CoV is also told of so many of the last values.
    """

    first: float | None = None
    last: float | None = None
    follow: bool = False
    smoothing: int = 0
    points: int = 600
    window: int = 100

    def moved_to(self, end: float | None) -> ViewOptions:
        """The same where it is now, if it follows a run that has come to this step.

        >>> moved = ViewOptions(first=10.0, last=30.0, follow=True).moved_to(100.0)
        >>> moved.first, moved.last, ViewOptions(first=10.0).moved_to(100.0).first
        (80.0, 100.0, 10.0)
        """
        if not self.follow or self.first is None or self.last is None or end is None:
            return self._replace(follow=False)
        return self._replace(first=end - (self.last - self.first), last=end, follow=False)
