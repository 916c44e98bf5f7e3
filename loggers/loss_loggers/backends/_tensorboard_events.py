"""What the event files of a TensorBoard directory have."""

from __future__ import annotations

from collections import defaultdict
from struct import pack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Known = dict[int, dict[str, set[bytes]]]


def read_numbers(folder: Path, steps: frozenset[int]) -> Known:
    """For each of these steps and each tag the numbers, as `as_stored` gives them."""
    known: Known = defaultdict(lambda: defaultdict(set))
    for event in _events(folder):
        if event.HasField("session_log"):
            # A writer went on from here: TensorBoard forgets what came from this step on.
            for step in [step for step in known if step >= event.step > 0]:
                del known[step]
        elif event.step in steps and event.HasField("summary"):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    known[event.step][value.tag].add(as_stored(value.simple_value))
    return known


def as_stored(number: float) -> bytes:
    """A number as TensorBoard has it, in float32; those that are equal are alike, NaN too."""
    try:
        return pack("f", number)
    except OverflowError:  # it is infinity there
        return pack("f", float("inf") if number > 0 else float("-inf"))


def _events(folder: Path) -> Iterator[Any]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.glob("*tfevents*")):
        for data in RawEventFileLoader(str(path)).Load():
            yield Event.FromString(data)
