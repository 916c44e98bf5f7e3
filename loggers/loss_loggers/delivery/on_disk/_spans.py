"""Which rows of a record: ranges of places, also after the record went back."""

from __future__ import annotations

import sys
from bisect import bisect_left
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from loss_loggers.base._pending import Place, Span

EPOCHS = 0
"""The part of a record that is the file of its epochs."""

Range = tuple["Place", "Place"]
"""What ends behind the first place, up to the second one."""

END: Place = (sys.maxsize, sys.maxsize)
"""Behind all places."""


class Rewinds:
    """Where a record was resumed or went back: the places behind have been used again since.

    >>> rewinds = Rewinds([{"part": 1, "offset": 70, "epochs": 9}, {"part": 1, "offset": 50}])
    >>> rewinds.place(0, (1, 60)), rewinds.place(1, (1, 40)), rewinds.place(2, (1, 60))
    ((1, 50), (1, 40), (1, 60))
    >>> Rewinds([{"part": "1"}, {"part": -1, "offset": 0}, 7]).place(0, (1, 60))  # written by hand
    (1, 60)
    """

    def __init__(self, resumed: Sequence[Any]) -> None:
        # `run.json` may have been edited: what is no place there is behind all places.
        entries = [entry if isinstance(entry, dict) else {} for entry in resumed]
        self._losses = _least_from_here([_place(entry) for entry in entries])
        self._epochs = _least_from_here([_place_of_epochs(entry) for entry in entries])

    def place(self, generation: int, place: Place) -> Place:
        """The place, or where a record of this generation went back before it."""
        known = self._losses if place[0] != EPOCHS else self._epochs
        return min(place, known[generation]) if generation < len(known) else place

    def went_back_to(self, spans: Iterable[Span]) -> Place | None:
        """The place to which the record went back behind spans, if none is behind it now.

        >>> rewinds = Rewinds([{"part": 1, "offset": 50}])
        >>> rewinds.went_back_to([(0, (1, 0), (1, 70))])
        (1, 50)
        >>> rewinds.went_back_to([(0, (1, 0), (1, 70)), (1, (1, 50), (1, 60))])
        """
        cut = ((self.place(generation, end), end) for generation, _, end in spans)
        place, went_back = max((place, place < end) for place, end in cut)
        return place if went_back else None

    def ranges(self, spans: Iterable[Span]) -> list[Range]:
        """What is still of the spans, in order; those that touch are one."""
        cut = (
            (self.place(generation, start), self.place(generation, end))
            for generation, start, end in spans
        )
        return joined((start, end) for start, end in cut if start < end)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, with those that touch made one.

    >>> joined([((1, 40), (1, 50)), ((1, 0), (1, 10)), ((1, 10), (1, 20))])
    [((1, 0), (1, 20)), ((1, 40), (1, 50))]
    """
    whole: list[Range] = []
    for start, end in sorted(ranges):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


class Joined:
    """Spans, of which those that touch are one.

    >>> [*Joined([(0, (1, 0), (1, 50)), (1, (1, 20), (1, 50)), (0, (1, 50), (1, 90))])]
    [(1, (1, 20), (1, 50)), (0, (1, 0), (1, 90))]
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: dict[tuple[int, Place], Place] = {}
        self.add(spans)

    def add(self, spans: Iterable[Span]) -> None:
        for generation, start, end in spans:
            begun = self._starts.pop((generation, start), start)
            known = self._starts.get((generation, end), begun)
            self._starts[generation, end] = min(begun, known)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Span]:
        return ((generation, start, end) for (generation, end), start in self._starts.items())


class Ranges:
    """Whether what ends at a place is in one of many ranges."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges = joined(ranges)
        self._ends = [end for _, end in self._ranges]

    def has(self, place: Place) -> bool:
        index = bisect_left(self._ends, place)
        return index < len(self._ranges) and self._ranges[index][0] < place


def numbers(span: Span) -> list[int]:
    """A span as a file has it."""
    generation, start, end = span
    return [generation, *start, *end]


def span(numbers: Sequence[int]) -> Span:
    """The span that a file has so."""
    generation, part, start, last, end = map(int, numbers)
    return generation, (part, start), (last, end)


def _place(entry: Mapping[str, Any]) -> Any:
    place = entry.get("part"), entry.get("offset")
    return place if all(isinstance(number, int) and number >= 0 for number in place) else END


def _place_of_epochs(entry: Mapping[str, Any]) -> Any:
    offset = entry.get("epochs")
    return EPOCHS, offset if isinstance(offset, int) else inf


def _least_from_here(places: list[Any]) -> list[Any]:
    """For each place the least of it and those behind it."""
    return list(accumulate(reversed(places), min))[::-1]
