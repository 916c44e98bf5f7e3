"""What is amiss with a run, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.recording import INFO, KEYS
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

UNREADABLE = "cannot be read"

KILLED = "it was killed, or the machine restarted; no exception was recorded"


class Problems:
    """A sentence for each topic, for as long as there is something to say of it.

    >>> problems = Problems()
    >>> problems.say("refused", refused(2))
    >>> problems.sentences
    ['2 lines make no sense, and are left out.']
    >>> problems.say("refused", refused(0))
    >>> problems.sentences
    []
    """

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    @property
    def sentences(self) -> list[str]:
        """All that is amiss."""
        return list(self._said.values())

    @property
    def keep_from_reading(self) -> bool:
        """Whether something cannot be read."""
        return any(UNREADABLE in sentence for sentence in self._said.values())

    def say(self, topic: str, sentence: str) -> None:
        """Put this in the place of what was said of the topic; nothing if it is empty."""
        if sentence:
            self._said[topic] = printable(sentence)
        else:
            self._said.pop(topic, None)


def unreadable(what: object, error: OSError) -> str:
    """Why a file or a folder cannot be read."""
    return f"{what} {UNREADABLE}: {error.strerror or error}."


def torn(name: str, size: int) -> str:
    """That a file has so many bytes after its last line."""
    return f"{name} ends in a half-written line of {size} bytes, which is left out."


def unnamed(names: Sequence[str]) -> str:
    """Which losses have no colour.

    >>> unnamed("ABCDE")
    'A, B, C and 2 more are not named in run.json, so they are grey.'
    """
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    are, they = ("is", "it is") if len(names) == 1 else ("are", "they are")
    return f"{', '.join(names[:3])}{more} {are} not named in {INFO}, so {they} grey."


def refused(lines: int) -> str:
    """How many lines were refused.

    >>> refused(0), refused(1)
    ('', '1 line makes no sense, and is left out.')
    """
    if lines == 1:
        return "1 line makes no sense, and is left out."
    return f"{lines} lines make no sense, and are left out." if lines else ""


def missing(name: str, header: Sequence[str]) -> str:
    """Which columns a part lacks; without its keys nothing of it can be read.

    >>> missing("losses.csv", ["step", "time", "name", "loss"])
    'losses.csv has no column weight.'
    """
    lacking = [column for column in (*KEYS, "loss", "weight") if column not in header]
    if not lacking:
        return ""
    lost = "" if set(KEYS) <= set(header) else f", so it {UNREADABLE}"
    return f"{name} has no column {' and no column '.join(lacking)}{lost}."
