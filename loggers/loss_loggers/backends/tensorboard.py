"""Rows and hyperparameters in a TensorBoard event file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from loss_loggers.base._clock import row_time
from loss_loggers.base._hyperparameters import TITLE, flat
from loss_loggers.base._paths import folder_at
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    After `writer.close()` no row is written, since torch would start another event file for it.
    TensorBoard keeps numbers in float32, NaN and infinity among them.

    Example::

        with SummaryWriter("runs/gan") as writer:
            tracker = LossTracker("G", TensorBoardLogger(writer))
    """

    def __init__(self, writer: Writer, *, layout: bool = True) -> None:
        super().__init__()
        fits = not isinstance(writer, type) and callable(getattr(writer, "add_scalar", None))
        check_kind(fits, "a SummaryWriter, as torch.utils.tensorboard has", writer)
        self._writer: Any = writer
        self._summary = _summary_class(writer)
        self._names = Names(reserved=_RESERVED)
        self._is_laid_out = not layout
        if reason := self._ended():
            msg = f"a writer that is open is needed; {reason}"
            raise ValueError(msg)

    @property
    def target(self) -> str:
        """The directory of the writer."""
        writer = self._writer
        folder = getattr(writer, "log_dir", None) or getattr(writer, "logdir", None)
        return f"tensorboard {folder_at(folder)}" if folder else "tensorboard"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row, with the time of now."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Log rows, with the times that they bring."""
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
        lines = (f"| {name} | {value} |" for name, value in pairs.items())
        self._writer.add_text(TITLE, "\n".join(["| | |", "| - | - |", *lines]))

    def _write(self, values: dict[str, float], step: int, moment: float) -> None:
        if self._summary is None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step, walltime=moment)
            return
        value_class = self._summary.Value
        numbers = [value_class(tag=name, simple_value=value) for name, value in values.items()]
        # One event with all numbers; add_scalar writes one for each.
        file = self._writer._get_file_writer()  # noqa: SLF001
        file.add_summary(self._summary(value=numbers), step, moment)

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


def _summary_class(writer: object) -> Any:
    """The class of what this writer takes for many numbers at once; None where it is unknown."""
    if not hasattr(writer, "_get_file_writer"):
        return None
    if is_a(writer, "torch.utils.tensorboard.writer.SummaryWriter"):
        from tensorboard.compat.proto.summary_pb2 import Summary

        return Summary
    if is_a(writer, "tensorboardX.writer.SummaryWriter"):
        from tensorboardX.proto.summary_pb2 import Summary as SummaryX

        return SummaryX
    return None
