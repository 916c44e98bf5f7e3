"""Who delivers rows of a run, from where on, and whether it may still do so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._lock import is_there

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from loss_loggers.base._pending import Place


class SenderMark(NamedTuple):
    """What a `Background` says of itself: the rows behind these places are its to deliver."""

    target: str
    pid: int
    host: str
    boot: str
    generation: int
    rows: Place
    epochs: Place
    has_lock: bool
    """Whether it could take its lock: not every file system has locks."""

    def __str__(self) -> str:
        return f"a Background in process {self.pid} on {self.host}"


def read_mark(known: Mapping[str, Any]) -> SenderMark:
    """The mark that a file has so."""
    fields = {name: known[name] for name in SenderMark._fields}
    fields["rows"], fields["epochs"] = tuple(fields["rows"]), tuple(fields["epochs"])
    return SenderMark(**fields)


def holder(mark: SenderMark, lock: Path) -> str:
    """This sender in words, if it may still deliver rows; nothing if it is known to be gone."""
    there = is_there(lock, mark._asdict(), has_lock=mark.has_lock)
    if there:
        return str(mark)
    return "" if there is False else f"{mark}, which may still run there"
