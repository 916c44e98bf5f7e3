"""Owner: whose steps are read back from an accelerator, and Entry: one of these steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from loss_loggers import row_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from loss_loggers import Row


class Entry:
    """A step whose numbers are on a device; none of its tensors may change later."""

    __slots__ = ("details", "number", "owner", "step", "tensors", "time")

    def __init__(
        self, owner: Owner, number: int, step: int, tensors: Sequence[Tensor], details: Any
    ) -> None:
        self.owner = owner
        self.number = number
        self.step = step
        self.time = row_time()
        self.tensors = tensors
        self.details = details


class Owner(ABC):
    """Keeps a state, which it replaces wholly or not at all, whoever comes in between.

    The handler of a signal may run between any two calls, and e.g. save a checkpoint, for which
    steps are read back and taken in. So a new state is stored only over the one that it was made
    of: Python runs no handler between that look and the store.

    Attributes:
        state: A named tuple; `number` of it is how many steps were recorded, `taken` how many of
            them were taken in.
        outbox: Has the rows; `late` of it those of steps that were read back.
        lost: How many steps could not be read back.
    """

    state: Any
    outbox: Any
    lost: int

    @abstractmethod
    def complete(self, entry: Entry, values: list[list[float]]) -> None:
        """Take the step into the statistics, once, however often it is asked."""

    def change(self, **fields: Any) -> None:
        """Have other values in these fields of the state."""
        while True:
            state = self.state
            new = state._replace(**fields)
            if self.state is state:
                self.state = new
                return

    def take(self, entry: Entry, state: Any, row: Row | None, **fields: Any) -> bool:
        """Take in a step that was read back; False if it was, or the state has changed, meanwhile.

        Args:
            entry: The step.
            state: The state without it.
            row: Its row, where somebody gets it. One that is there twice goes out once.
            fields: What it makes of the state.
        """
        new = state._replace(taken=entry.number, **fields)
        if row is not None and self.state is state:
            self.outbox.late[0].append((entry.number, row))
        if self.state is not state:
            return False
        self.state = new
        return True

    def has(self, entry: Entry) -> bool:
        """Whether the step counts: it was not interrupted before."""
        return bool(entry.number <= self.state.number)

    def let_go(self, entry: Entry) -> None:
        """Do without a step that cannot be read."""
        if entry.number > self.state.taken:
            self.change(taken=entry.number)
            self.lost += 1
