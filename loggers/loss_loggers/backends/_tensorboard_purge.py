"""Steps that come again after going back to a checkpoint: a chart shows each of them once."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from loss_loggers.base._values import is_total, is_validation, statistic_and_loss

if TYPE_CHECKING:
    from collections.abc import Collection


class Purge:
    """Finds where the rows of one writer go back, for all loggers that bring it rows."""

    def __init__(self, writer: Any) -> None:
        self._lock = Lock()
        self._last: dict[str, int] = {}
        self._goes_on = _is_put_after_others(writer)

    def due(self, tags: Collection[str], step: int) -> int | None:
        """From which step on charts are to forget what they have before these numbers come, if so.

        It is where a loss goes back, and at the first row in a folder with event files of before;
        unless that counts from 0, as another training does whose tags may be others. A validation
        is at the last step of its training, whose own row does not come again.
        """
        first = None
        with self._lock:
            goes_back = any(self._last.get(tag, step) > step for tag in _own(tags))
            if goes_back or (self._goes_on and step > 0):
                first = step + _is_validation(tags)
                self._last = {tag: last for tag, last in self._last.items() if last < first}
            self._goes_on = False
            self._last.update(dict.fromkeys(tags, step))
        return first


def _own(tags: Collection[str]) -> Collection[str]:
    """Those of a row's losses: others may bring a total, `lr` or `epoch` at their own steps."""
    named = {tag: statistic_and_loss(tag) for tag in tags}
    own = [tag for tag, (kind, loss) in named.items() if kind != "value" and not is_total(loss)]
    return own or tags


def _is_validation(tags: Collection[str]) -> bool:
    """Whether all losses of a row are those of a validation, whatever else it brings."""
    named = map(statistic_and_loss, tags)
    losses = [loss for statistic, loss in named if statistic in ("loss", "epoch_loss")]
    return bool(losses) and all(is_validation(loss.rpartition("/")[0]) for loss in losses)


_MAKING = Lock()
_PURGES: WeakKeyDictionary[Any, Purge] = WeakKeyDictionary()


def purge_of(writer: Any) -> Purge:
    """That of this writer, made once."""
    with _MAKING:
        if writer not in _PURGES:
            _PURGES[writer] = Purge(writer)
        return _PURGES[writer]


def _is_put_after_others(writer: Any) -> bool:
    """Whether there are event files beside the one that the writer has open, which sorts last now.

    TensorBoard reads them in the order of their names, which begin with a second: names of one
    second are in no order of time (`.10` sorts before `.9`), and a clock may have been set back.
    """
    writer.flush()
    files = writer._get_file_writer().event_writer  # noqa: SLF001
    own = Path(getattr(files, "_ev_writer", files)._file_name).absolute()  # noqa: SLF001
    others = [path.name for path in own.parent.glob("*tfevents*") if path.name != own.name]
    if others and (last := max(others)) > own.name and (name := _name_after(last, own.name)):
        _rename(files, own, own.with_name(name))
    return bool(others)


def _name_after(last: str, name: str) -> str | None:
    """The name with a second after that of the last; None where it has another form.

    >>> _name_after("events.out.tfevents.1700000000.host.1.9", "events.out.tfevents.1700000000.x")
    'events.out.tfevents.1700000001.x'
    """
    found = _SECOND.search(last)
    return _SECOND.sub(str(int(found[0]) + 1), name, count=1) if found else None


_SECOND = re.compile(r"(?<=\.tfevents\.)\d{10}(?=\.)")


def _rename(files: Any, old: Path, new: Path) -> None:
    """Give the open file another name; where a system does not let us, it keeps its own."""
    with suppress(OSError):
        old.rename(new)
        if hasattr(files, "_ev_writer"):
            files._ev_writer._file_name = str(new)  # noqa: SLF001
            return
        files._file_name = str(new)  # noqa: SLF001
        opened = files._general_file_writer  # noqa: SLF001
        if hasattr(opened, "filename"):  # TensorBoard's own, which opens it anew for each flush
            opened.filename = str(new).encode()
