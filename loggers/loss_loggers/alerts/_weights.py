"""What is known of the weights of one group, step by step."""

from __future__ import annotations

from functools import reduce
from math import inf, nan
from operator import add
from typing import TYPE_CHECKING

from ._rules import (
    LARGE,
    capped_alert,
    is_capped,
    long,
    small_share,
    still_alert,
    weight_alert,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._losses import LossValues
    from ._rules import Alert, Weighed


class Stretch:
    """The longest run of steps at which something held, the first one of several.

    >>> stretch = Stretch()
    >>> for step, holds in enumerate([True, False, True, True]):
    ...     stretch.add(step, holds)
    >>> stretch.step, stretch.length
    (2, 2)
    """

    def __init__(self) -> None:
        self.step = self.length = 0
        self._begin = self._current = 0

    def add(self, step: int, holds: bool) -> None:
        """Take one step."""
        if not holds:
            self._current = 0
            return
        if not self._current:
            self._begin = step
        self._current += 1
        if self._current > self.length:
            self.step, self.length = self._begin, self._current


class GroupWeights:
    """The weights of losses that are weighed together, so far, in a few numbers.

    A step counts once all of its losses came at it, and once only: one that comes again after the
    run went back is the same step.
    """

    def __init__(self, how: Weighed, losses: Sequence[LossValues]) -> None:
        self.how = how
        self.losses = losses
        self._small = [Stretch() for _ in losses]
        self._large = [Stretch() for _ in losses]
        self._capped = [Stretch() for _ in losses]
        self._steps = 0
        self._last_step = -1.0
        self._before: list[tuple[float, float]] = []
        self._since, self._since_step = 0, 0
        self._moved = self._losses_changed = False

    def add(self, step: int) -> None:
        """Look at the losses again, after a row of this step."""
        if step > self._last_step and all(loss.last[0] == step for loss in self.losses):
            self._last_step = step
            self._add_shares(step)
            self._add_changes(step)
            self._steps += 1

    def extreme(self) -> Iterator[Alert]:
        """Losses that weighed next to nothing, or next to all, for long."""
        least = long(self._steps)
        for loss, small, large in zip(self.losses, self._small, self._large, strict=True):
            for kind, stretch in (("small weight", small), ("large weight", large)):
                if stretch.length >= least:
                    count = len(self.losses)
                    yield weight_alert(kind, loss.name, stretch.step, stretch.length, count)

    def capped(self) -> Iterator[Alert]:
        """Losses whose weights were at their limit for long."""
        for loss, capped in zip(self.losses, self._capped, strict=True):
            if capped.length >= long(self._steps):
                yield capped_alert(loss.name, capped.step, capped.length, self.how.limit)

    def still(self) -> Alert | None:
        """Whether its weights stand still, although the losses change."""
        still = self._steps - 1 - self._since
        if still < long(self._steps) or not self._losses_changed:
            return None
        return still_alert(self.how.method, self._since_step, still, moved=self._moved)

    def _add_shares(self, step: int) -> None:
        # In order, as numpy adds rows; from Python 3.12 on sum() rounds in another way.
        total = reduce(add, (loss.weight for loss in self.losses))
        least = small_share(len(self.losses))
        for loss, small, large in zip(self.losses, self._small, self._large, strict=True):
            share = loss.weight / total if total > 0 else nan
            small.add(step, share < least)
            large.add(step, share > LARGE)
        if self.how.limit < inf:
            self._add_capped(step)

    def _add_capped(self, step: int) -> None:
        known = [loss.weight for loss in self.losses if loss.name == self.how.reference]
        least = min(known or [loss.weight for loss in self.losses if loss.weight > 0], default=nan)
        for loss, capped in zip(self.losses, self._capped, strict=True):
            is_own = loss.name != self.how.reference
            capped.add(step, is_own and is_capped(loss.weight, least, self.how.limit))

    def _add_changes(self, step: int) -> None:
        before, self._before = self._before, [(loss.loss, loss.weight) for loss in self.losses]
        pairs = list(zip(before, self._before, strict=False))
        if not pairs:
            self._since_step = step
        elif any(old[1] != new[1] for old, new in pairs):
            self._since, self._since_step = self._steps, step
            self._moved, self._losses_changed = True, False
        elif any(old[0] != new[0] for old, new in pairs):
            self._losses_changed = True
