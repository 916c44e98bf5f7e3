"""Who delivers rows of a run, from where on, and whether it may still do so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._lock import FileLock, LocksMissingError, this_process

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
    """This sender in words, if it may still deliver rows; nothing if it is known to be gone.

    Its lock says so on the machine where it was taken, in whichever container; and where a host is
    up again, what it ran before is gone. Of another machine a lock says nothing, for not every file
    system passes it on.
    """
    try:
        is_taken, has_lock = FileLock(lock).is_taken(), mark.has_lock
    except LocksMissingError:
        is_taken = has_lock = False
    here = this_process()
    is_same_host, is_same_boot = mark.host == here["host"], mark.boot == here["boot"]
    if has_lock:
        is_gone = is_same_host or (is_same_boot and bool(mark.boot))
    else:
        is_gone = is_same_host and not (is_same_boot and _is_there(mark.pid))
    if is_taken:
        return str(mark)
    return "" if is_gone else f"{mark}, which may still run there"


def _is_there(pid: int) -> bool:
    """Whether this system has such a process, or may have it."""
    if os.name == "nt":  # there signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
