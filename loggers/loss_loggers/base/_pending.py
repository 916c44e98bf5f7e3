"""Rows that are being delivered: an interrupted delivery goes on where it was."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._protocol import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Place = tuple[int, int]
"""A place in a local record: the number of a part, from 1, and a byte offset in it."""

Span = tuple[int, Place, Place]
"""Between which two places of a record rows are, or epochs, which are in part 0.

Places are used again when a record goes back, so the number before them says how often it had been
resumed, or had gone back, by then.
"""

_WAYS = frozenset(("log_metrics", "log_rows", "log_pending"))


class Pending(list[Row]):
    """The rows of a step, or of several, that go to each logger of a `Tee` exactly once.

    Ctrl-C can come in the middle of `tee.log_pending(pending)`. Call it again with the same object:
    loggers that have the rows do not get them again. `MemoryLogger` and `CsvLogger` have a row
    wholly or not at all; another logger may get the row twice during which Ctrl-C came, and rows
    that go out in one call (`late`) all together.

    The rows must not be changed any more. A `Pending` is a list without an `__init__` of its own,
    because one is made at each step.

    Attributes:
        late: Whether the rows come after their step: loggers that take late rows get them in one
            call, with their times. False by default.

    >>> from loss_loggers import MemoryLogger, Tee
    >>> memory = MemoryLogger()
    >>> tee, pending = Tee(memory), Pending([(0, 1.5e9, {"loss/G": 0.5})])
    >>> tee.log_pending(pending)
    >>> tee.log_pending(pending)
    >>> memory["loss/G"]
    [(0, 0.5)]
    """

    late = False

    places: list[Span | None] | None = None
    """Between which places of the local record each row is, where somebody asks for it."""

    moments: Mapping[int, float] = MappingProxyType({})
    """The times that the record gave to rows instead of theirs: its time never goes back."""

    covered: list[tuple[Span, ...] | None] | None = None
    """For each row what it sums up of the record, where the rows are no rows of the record."""

    tee: object = None
    """Which `Tee` delivers these rows, by its key."""

    tries = 0
    """How often it began to: from the second try on a logger may have them already."""

    done = 0
    """How many of its guards have the rows."""

    recorded: tuple[object, ...] = ()
    """Which records have all of them, by their keys."""

    waits = False
    """Whether the record takes them later: the handler of a signal brought them amid other rows."""

    go_on: Callable[[], object] | None = None
    """Delivers them to the others, who are to know where they are in the record."""

    note: tuple[int, Any] | None = None
    """What the logger at this guard has to know on the next try; the number of the guard first."""

    def noted(self) -> Any:
        """The note of the guard whose turn it is, or None."""
        return self.note[1] if self.note is not None and self.note[0] == self.done else None

    def child(self, rows: Callable[[], Iterable[Row]] | None = None) -> Pending:
        """What the logger at this guard hands on in place of these rows; made on the first try."""
        child = self.noted()
        if child is None:
            child = Pending(self if rows is None else rows())
            child.late = self.late
            if len(child) == len(self):
                child.covered, child.moments = self.covered, self.moments
                # A list of its own, for there may be another record behind this guard.
                child.places = self.places and [*self.places]
            self.note = (self.done, child)
        return child  # type: ignore[no-any-return]

    def row(self, index: int) -> Row:
        """A row, with the time that the record has of it."""
        row = self[index]
        return (row[0], self.moments[index], row[2]) if index in self.moments else row

    def spans(self, index: int) -> tuple[Span, ...] | None:
        """What the record has of a row: nothing if it did not take it, None where nobody asked."""
        if self.covered is not None:
            return self.covered[index]
        if self.places is None:
            return None
        where = self.places[index]
        return () if where is None else (where,)

    def remaining(self) -> Iterator[tuple[Row, tuple[Span, ...] | None]]:
        """The rows that the logger at this guard lacks, and what the record has of each.

        For one that takes them one by one.
        """
        for index in range(self.noted() or 0, len(self)):
            yield self.row(index), self.spans(index)
            self.note = (self.done, index + 1)


def taker_of(logger: object) -> Callable[[Pending], object] | None:
    """How it takes each row once, unless it is of a class that has changed how rows are taken."""
    logger = getattr(logger, "in_its_place", logger)
    for kind in type(logger).__mro__:
        if not _WAYS.isdisjoint(vars(kind)):
            return getattr(logger, "log_pending", None) if "log_pending" in vars(kind) else None
    return None
