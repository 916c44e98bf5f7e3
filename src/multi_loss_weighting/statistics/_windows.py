"""Windows over the values of one loss: blocks, the last N, and an exponential mean."""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from ._moments import Moments

if TYPE_CHECKING:
    from multi_loss_weighting._state import State


class Blocks:
    """Moments of the block under way and of the last complete one, `size` updates each.

    A value that is not finite takes its place in a block but does not enter its moments.

    >>> blocks = Blocks(2)
    >>> for value in (1.0, 3.0, 10.0):
    ...     blocks.add(value)
    >>> blocks.last.mean, blocks.current.mean
    (2.0, 10.0)
    """

    __slots__ = ("completed", "current", "last", "position", "size")

    def __init__(self, size: int) -> None:
        if size < 1 or size % 1:
            msg = (
                "block_size counts the updates of a block, so it is a whole number, 1 or more;"
                f" got {size}"
            )
            raise ValueError(msg)
        self.size = size
        self.position = 0
        self.completed = 0
        self.current = Moments()
        self.last = Moments()

    def add(self, value: float, samples: float = 1) -> None:
        """Take in one value; after the `size`-th a new block begins."""
        if math.isfinite(value):
            self.current.add(value, samples)
        self.position += 1
        # Not ==, for a state may come from longer blocks.
        if self.position >= self.size:
            self.position = 0
            self.completed += 1
            self.last, self.current = self.current, Moments()

    def state_dict(self) -> State:
        """Both blocks and the place in the current one."""
        return {
            "position": self.position,
            "completed": self.completed,
            "current": self.current.state_dict(),
            "last": self.last.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`."""
        self.position, self.completed = state["position"], state["completed"]
        self.current.load_state_dict(state["current"])
        self.last.load_state_dict(state["last"])


class Recent:
    """The last values, finite or not, and what is asked of them.

    Each question takes the last `count` values, or all that are kept, and passes over those that
    are not finite; with none left the answer is nan.

    >>> recent = Recent(3)
    >>> for value in (1.0, 2.0, 9.0, 4.0):
    ...     recent.add(value)
    >>> recent.values(), recent.median(), recent.mean(2)
    ([2.0, 9.0, 4.0], 4.0, 6.5)
    """

    __slots__ = ("kept",)

    def __init__(self, size: int) -> None:
        if size < 0:
            msg = f"history counts the values that are kept, so it is 0 or more; got {size}"
            raise ValueError(msg)
        self.kept: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Take in one value."""
        self.kept.append(value)

    def values(self, count: int | None = None) -> list[float]:
        """The last `count` values, oldest first."""
        start = 0 if count is None else max(0, len(self.kept) - count)
        return list(islice(self.kept, start, None))

    def _finite(self, count: int | None) -> list[float]:
        return [value for value in self.values(count) if math.isfinite(value)] or [math.nan]

    def mean(self, count: int | None = None) -> float:
        """Mean of the last `count` values."""
        values = self._finite(count)
        return math.fsum(values) / len(values)

    def median(self, count: int | None = None) -> float:
        """Median of the last `count` values."""
        values = sorted(self._finite(count))
        return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2

    def std(self, count: int | None = None) -> float:
        """Population standard deviation of the last `count` values."""
        values, mean = self._finite(count), self.mean(count)
        return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))

    def minimum(self, count: int | None = None) -> float:
        """Smallest of the last `count` values."""
        return min(self._finite(count))

    def maximum(self, count: int | None = None) -> float:
        """Largest of the last `count` values."""
        return max(self._finite(count))

    def load(self, values: list[float]) -> None:
        """Keep these values instead."""
        self.kept.clear()
        self.kept.extend(values)


class ExponentialMean:
    """A mean that forgets: `mean += (1 - decay) * (value - mean)`.

    Until 1 / (1 - decay) values came it is their plain mean, so that the first one, which it
    would otherwise remember for long, has no more say than the others.

    >>> mean = ExponentialMean(0.9)
    >>> mean.add(1.0)
    >>> mean.add(2.0)
    >>> mean.value
    1.5
    """

    __slots__ = ("_least", "count", "value")

    def __init__(self, decay: float) -> None:
        self._least = 1 - checked_decay(decay)
        self.count = 0
        self.value = math.nan

    def add(self, value: float, samples: float = 1) -> None:  # noqa: ARG002, a window like Blocks
        """Take in one value; one that is not finite is passed over, sample counts do not matter."""
        if math.isfinite(value):
            self.count += 1
            mean = self.value if self.count > 1 else 0.0
            self.value = mean + max(1 / self.count, self._least) * (value - mean)

    def state_dict(self) -> State:
        """The mean and how many values it has seen."""
        return {"count": self.count, "value": self.value}

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`."""
        self.count = state["count"]
        self.value = state["value"]


def checked_decay(decay: float) -> float:
    """`decay` itself, if it keeps a part of the past and takes in a part of the present."""
    if not 0 < decay < 1:
        msg = f"decay is the share of the past that is kept, between 0 and 1; got {decay}"
        raise ValueError(msg)
    return decay
