"""The rows that wait for a backend."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._delivery_log import DeliveryLog
    from .on_disk._spool import Item

_BLOCK = 100


class DeliveryQueue:
    """A bounded queue: what waits, and what is under way; what finds no room goes to the log."""

    def __init__(self, log: DeliveryLog, max_rows: int) -> None:
        self.log = log
        # Reentrant, for a signal handler may close the logger in the middle of a row.
        self.lock = Condition()
        self.max_rows = max_rows
        self._many = max(1, max_rows // 2)
        self._waiting: deque[Item] = deque()
        self._under_way: list[Item] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    @property
    def is_crowded(self) -> bool:
        """Whether it is half full."""
        return len(self._waiting) >= self._many

    def put(self, item: Item) -> bool:
        """Take an item; whether there was room for it. Half full, it wakes who waits for items."""
        self._waiting.append(item)
        waiting = len(self._waiting)
        if waiting == self._many:
            with self.lock:
                self.lock.notify_all()
        return waiting <= self.max_rows or not self.keep_all_but(self.max_rows)

    def take(self, limit: int) -> list[Item]:
        """The oldest ones, now under way; hyperparameters go alone."""
        with self.lock:
            while self._waiting and self._fits(self._waiting[0], limit):
                self._under_way.append(self._waiting.popleft())
            return list(self._under_way)

    def take_another(self) -> list[Item]:
        """One more, of whatever kind, if there is one."""
        with self.lock:
            another = [self._waiting.popleft()] if self._waiting else []
            self._under_way += another
            return another

    def give_back(self) -> None:
        """What is under way waits again."""
        with self.lock:
            self._waiting.extendleft(reversed(self._under_way))
            self._under_way.clear()

    def arrived(self) -> None:
        """What was under way was delivered, unless we had stopped to wait for it."""
        with self.lock:
            self.log.arrived(self._under_way)
            self._under_way.clear()

    def keep(self, count: int) -> None:
        """So many of those under way go to the file."""
        with self.lock:
            if kept := self._under_way[:count]:
                del self._under_way[:count]
                self.log.keep(kept)

    def keep_all_but(self, count: int) -> bool:
        """Put the oldest of those that wait into the file, and leave so many; whether any went."""
        with self.lock:
            excess = len(self._waiting) - count
            for start in range(0, excess, _BLOCK):
                block = range(start, min(start + _BLOCK, excess))
                self.log.keep([self._waiting.popleft() for _ in block])
            return excess > 0

    def keep_all(self) -> bool:
        """Put everything into the file; whether there was anything."""
        with self.lock:
            self.give_back()
            return self.keep_all_but(0)

    def _fits(self, item: Item, limit: int) -> bool:
        if not self._under_way:
            return True
        is_room = len(self._under_way) < limit
        return is_room and item[0] is not None and self._under_way[-1][0] is not None
