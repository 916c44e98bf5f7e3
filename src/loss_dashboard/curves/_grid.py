"""Steps that the curves of several losses share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .decimate import lengths, reduce

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy import bool_, intp
    from numpy.typing import NDArray

    from loss_dashboard._typing import Columns, Values


class Cells(NamedTuple):
    """What one loss does in each bucket of a grid; `seen` is whether it had any values there."""

    mean: Values
    low: Values
    high: Values
    nonfinite: Values
    seen: NDArray[bool_]


class Grid:
    """Buckets of steps, as many for each loss, whichever steps it was recorded at.

    >>> import numpy as np
    >>> often = {"step": np.arange(6.0), "time": np.arange(6.0)}
    >>> once = {"step": np.array([3.0]), "time": np.array([3.0])}
    >>> grid = Grid([often, once], None, None, lambda length: np.arange(0, length, 2))
    >>> grid.steps.tolist(), grid.reduce(once["step"], np.array([0.5])).mean.tolist()
    ([0.0, 2.0, 4.0], [nan, 0.5, nan])

    Args:
        losses: The columns of each.
        first: The first step, by default of all.
        last: The last step, likewise.
        cut: Where among so many steps buckets begin.

    Attributes:
        steps: where each bucket begins.
        times: when.
        length: of how many steps the buckets are.
        lines: how many lines of each loss there are at most.
        once: whether each loss has a step once: a run that was resumed may have gone back.
    """

    def __init__(
        self,
        losses: Sequence[Columns],
        first: float | None,
        last: float | None,
        cut: Callable[[int], NDArray[intp]],
    ) -> None:
        self.lines = max((len(own["step"]) for own in losses), default=0)
        different = distinct(losses)
        self.once = all(is_ordered(own["step"]) for own in different)
        steps, times = _union(different)
        self._first, self._last = first, last
        window = _between(steps, first, last)
        self.length = len(steps[window])
        starts = cut(self.length)
        self.steps, self.times = steps[window][starts], times[window][starts]

    def reduce(self, steps: Values, values: Values) -> Cells:
        """What values at these steps do in each bucket; of several rows of them, what each does."""
        import numpy as np

        steps, values = _in_order(steps, values)
        window = _between(steps, self._first, self._last)
        steps, values = steps[window], values[..., window]
        starts = np.searchsorted(steps, self.steps)
        seen = lengths(starts, len(steps)) > 0
        cells = np.full((4, *values.shape[:-1], len(seen)), np.nan)
        if len(steps):
            cells[..., seen] = reduce(values, starts[seen])
        mean, low, high, nonfinite = cells
        return Cells(mean, low, high, nonfinite, seen)


def distinct(losses: Iterable[Columns]) -> list[Columns]:
    """The first of those that have the same steps in the same order, as losses of one group do."""
    import numpy as np

    found: list[Columns] = []
    for own in losses:
        if not any(np.array_equal(own["step"], other["step"]) for other in found):
            found.append(own)
    return found


def reach(losses: Collection[Columns]) -> list[float] | None:
    """The first and the last step of all."""
    if not losses:
        return None
    steps = [own["step"] for own in losses]
    return [float(min(own.min() for own in steps)), float(max(own.max() for own in steps))]


def _union(losses: Sequence[Columns]) -> tuple[Values, Values]:
    """The steps of all losses and when they were."""
    import numpy as np

    if not losses:
        return np.empty(0), np.empty(0)
    if len(losses) == 1 and is_ordered(losses[0]["step"]):
        return losses[0]["step"], losses[0]["time"]
    steps = np.concatenate([own["step"] for own in losses])
    steps, places = np.unique(steps, return_index=True)
    return steps, np.concatenate([own["time"] for own in losses])[places]


def _in_order(steps: Values, values: Values) -> tuple[Values, Values]:
    """A run that was resumed may have gone back a few steps."""
    if is_ordered(steps):
        return steps, values
    order = steps.argsort(kind="stable")
    return steps[order], values[..., order]


def is_ordered(steps: Values) -> bool:
    """Whether each step is larger than the one before."""
    return bool((steps[1:] > steps[:-1]).all())


def _between(steps: Values, first: float | None, last: float | None) -> slice:
    import numpy as np

    start = 0 if first is None else int(np.searchsorted(steps, first))
    end = len(steps) if last is None else int(np.searchsorted(steps, last, side="right"))
    return slice(start, max(start, end))
