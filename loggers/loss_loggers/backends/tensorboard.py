"""Rows and hyperparameters in a TensorBoard event file."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from loss_loggers.base._clock import row_time
from loss_loggers.base._hyperparameters import TITLE, flat
from loss_loggers.base._paths import folder_at
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats
from loss_loggers.text import printable

from ._adapter import Adapter
from ._tensorboard_purge import Purge, purge_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers.base._protocol import Metrics, Row

_RESERVED = (f"{TITLE}/text_summary", "custom_scalars__config__")
"""Tags of what is no scalar: TensorBoard shows one kind of data for a tag."""


class Writer(Protocol):
    """A `SummaryWriter`, or anything else that has its `add_scalar`."""

    def add_scalar(
        self,
        tag: Any,
        scalar_value: Any,
        global_step: Any = ...,
        walltime: Any = ...,
    ) -> object:
        """Record one number."""
        ...


class TensorBoardLogger(Adapter):
    """Log to a `SummaryWriter` that you opened, torch's or tensorboardX's.

    A row is one event, which costs a tenth of an `add_scalar` for each number; another writer that
    has `add_scalar` gets those. With the first row goes a layout for the tab Custom Scalars: for
    each statistic one chart with all losses, also with those that appear later. TensorBoard heeds
    the first layout of a run: pass `layout=False` where you write one of your own.

    After a checkpoint steps come again. Where a curve goes back, and at the first row of a process
    that goes on in a folder with event files, TensorBoard is told to forget what it has from that
    step on, as `SummaryWriter(purge_step=...)` would tell it; that holds for all tags of the run,
    yours too. Our event file gets a name behind those of the others, so that it is read after them,
    whatever the clock did. `purge=False` leaves all of this to you: each curve then shows both.

    After `writer.close()` no row is written, since torch would start another event file for it.
    TensorBoard keeps numbers in float32, NaN and infinity among them.

    Example::

        with SummaryWriter("runs/gan") as writer:
            tracker = LossTracker("G", TensorBoardLogger(writer))
    """

    def __init__(self, writer: Writer, *, layout: bool = True, purge: bool = True) -> None:
        super().__init__()
        fits = not isinstance(writer, type) and callable(getattr(writer, "add_scalar", None))
        check_kind(fits, "a SummaryWriter, as torch.utils.tensorboard has", writer)
        self._writer: Any = writer
        self._protos = _protos(writer)
        self._names = Names(reserved=_RESERVED)
        self._is_laid_out = not layout
        if reason := self._ended():
            msg = f"a writer that is open is needed; {reason}"
            raise ValueError(msg)
        self._purge: Purge | None = purge_of(writer) if purge and self._protos else None

    @property
    def target(self) -> str:
        """The directory of the writer."""
        folder = self._folder()
        return f"tensorboard {folder_at(folder)}" if folder else "tensorboard"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row, with the current time."""
        self._log([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Log rows, with the times that they bring; they are in the file when it returns."""
        self._log(rows)
        if hasattr(self._writer, "flush") and not self._refuses(0):
            self._writer.flush()

    def _log(self, rows: Sequence[Row]) -> None:
        if self._refuses(len(rows)):
            return
        for step, moment, metrics in rows:
            values = floats(metrics, self._names)
            if not self._is_laid_out:
                self._lay_out(values)
            self._write(values, int(step), moment)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Show them as a table in the tab Text."""
        if self._refuses(0):
            return
        pairs = flat(self._with_earlier(hyperparams))
        lines = (f"| {_cell(name)} | {_cell(str(value))} |" for name, value in pairs.items())
        self._writer.add_text(TITLE, "\n".join(["| | |", "| - | - |", *lines]))

    def settle(self) -> None:
        """Wait until the event file has what was logged: a thread of the writer puts it there."""
        if hasattr(self._writer, "flush"):
            self._writer.flush()

    def known_rows(self, steps: frozenset[int]) -> Callable[[Row], bool] | None:
        """What tells whether the directory has a row, by its step and its numbers."""
        folder = self._folder()
        if not folder:
            return None
        from ._tensorboard_events import as_stored, read_numbers

        known = read_numbers(folder_at(folder), steps)

        def is_there(row: Row) -> bool:
            values = floats(row[2], self._names)
            there = known.get(row[0], {})
            return all(as_stored(value) in there.get(name, ()) for name, value in values.items())

        return is_there

    def _folder(self) -> str:
        writer = self._writer
        return str(getattr(writer, "log_dir", None) or getattr(writer, "logdir", None) or "")

    def forget_from(self, step: int | None) -> None:
        """Have TensorBoard forget what it has from this step on; from now on we look no more."""
        if self._purge is not None:
            self._purge = None
            if step is not None and not self._refuses(0):
                self._forget(step, row_time())

    def _forget(self, step: int, moment: float) -> None:
        if self._protos is not None:
            start = self._protos.session_log(status=self._protos.session_log.START)
            file = self._writer._get_file_writer()  # noqa: SLF001
            for _ in range(2):  # TensorBoard's server takes the first one of a run for its start
                file.add_event(self._protos.event(session_log=start), step, moment)

    def _write(self, values: dict[str, float], step: int, moment: float) -> None:
        if self._protos is None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step, walltime=moment)
            return
        summary = self._protos.summary
        numbers = [summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        first = self._purge.due(values, step) if self._purge is not None else None
        if first is not None:
            self._forget(first, moment)
        # One event with all numbers; add_scalar writes one for each.
        file = self._writer._get_file_writer()  # noqa: SLF001
        file.add_summary(summary(value=numbers), step, moment)

    def _lay_out(self, values: dict[str, float]) -> None:
        """A chart for each statistic; its pattern fits the losses to come as well."""
        statistics = dict.fromkeys(name.partition("/")[0] for name in values if "/" in name)
        if statistics and hasattr(self._writer, "add_custom_scalars"):
            self._is_laid_out = True
            charts = {name: ["Multiline", [f"^{re.escape(name)}/"]] for name in statistics}
            self._writer.add_custom_scalars({"losses": charts})

    def _ended(self) -> str:
        is_closed = getattr(self._writer, "all_writers", self) is None
        return "the writer is closed" if is_closed else ""


class _Protos(NamedTuple):
    """The classes of what a writer takes at once."""

    summary: Any
    event: Any
    session_log: Any


def _protos(writer: object) -> _Protos | None:
    """Those that this writer takes; None where they are unknown."""
    if not hasattr(writer, "_get_file_writer"):
        return None
    if is_a(writer, "torch.utils.tensorboard.writer.SummaryWriter"):
        package = "tensorboard.compat"
    elif is_a(writer, "tensorboardX.writer.SummaryWriter"):
        package = "tensorboardX"
    else:
        return None
    events = import_module(f"{package}.proto.event_pb2")
    summaries = import_module(f"{package}.proto.summary_pb2")
    return _Protos(summaries.Summary, events.Event, events.SessionLog)


def _cell(text: str) -> str:
    r"""The text as a cell of a table in Markdown, where it means nothing but itself.

    >>> _cell("a|b"), _cell("`x`"), _cell("two\nlines"), _cell("snake_case")
    ('a&#124;b', '&#96;x&#96;', 'two<br>lines', 'snake_case')
    """
    return "<br>".join(_MARKUP.sub(_entity, printable(line)) for line in text.splitlines())


# An underscore within a word is no markup.
_MARKUP = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[^\w\s./:,+()='\"-]")


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"
