"""What the record has of the rows that a queue takes."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from .on_disk._spans import EPOCHS, Rewinds

if TYPE_CHECKING:
    from loss_loggers.base._pending import Place, Span
    from loss_loggers.base._protocol import Record


class RecordPlaces:
    """Follows a record, for rows that do not bring their places."""

    def __init__(self, record: Record) -> None:
        # Not kept alive by rows that wait for a backend.
        self._record = weakref.ref(record)
        self._generation = len(record.resumed)
        self._rows, self._epochs = record.place, _epochs(record)

    def follows(self, record: Record) -> bool:
        """Whether it is this record."""
        return self._record() is record

    def passed(self, spans: tuple[Span, ...]) -> None:
        """These rows were taken."""
        record = self._record()
        for generation, _, end in spans:
            if generation != self._generation and record is not None:
                self._go_back(record)  # its epochs did, too
            self._generation, self._rows = generation, end

    def rows_until_now(self) -> tuple[Span, ...]:
        """What was recorded since the last row that was taken."""
        record = self._record()
        if record is None:
            return ()
        self._go_back(record)
        spans = _between(self._generation, self._rows, record.place)
        self._rows = record.place
        return spans

    def epochs_until_now(self) -> tuple[Span, ...]:
        """The epochs that were recorded since the last one that was taken."""
        record = self._record()
        if record is None:
            return ()
        self._go_back(record)
        end = _epochs(record)
        spans = _between(self._generation, self._epochs, end)
        self._epochs = end
        return spans

    def _go_back(self, record: Record) -> None:
        """If the record did."""
        if len(record.resumed) != self._generation:
            rewinds = Rewinds(record.resumed)
            self._rows = rewinds.place(self._generation, self._rows)
            self._epochs = rewinds.place(self._generation, self._epochs)
            self._generation = len(record.resumed)


def _epochs(record: Record) -> Place:
    return EPOCHS, record.state_dict()["epochs"]


def _between(generation: int, start: Place, end: Place) -> tuple[Span, ...]:
    return ((generation, start, end),) if start < end else ()
