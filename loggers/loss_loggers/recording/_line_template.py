"""How a row of metrics becomes lines of CSV, one line a loss."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from loss_loggers.base._values import Names, exact, statistic_and_loss
from loss_loggers.base._warn import warn

from ._table import KEYS as KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loss_loggers.base._protocol import Metrics

STATISTICS = (
    "loss",
    "weight",
    "weighted",
    "mean",
    "std",
    "var",
    "cov",
    "cov_weight",
    "block_mean",
    "block_std",
    "nonfinite",
    "value",
)
"""The columns that every record has, beside the keys of a line."""

_NUMBERS = frozenset((float, int))


class Places:
    """Where the metrics of a run stand: the loss and the column of each, no two alike.

    >>> places = Places()
    >>> places["weight/val/G"], places["lr"], places["value/lr"]
    (('val/G', 'weight'), ('lr', 'value'), ('value/lr', 'value'))
    """

    def __init__(self) -> None:
        # A line cannot hold every character, and two names that differ in one would become alike.
        self.names, self._columns = Names(_one_line), Names(_one_line)
        self._warned = False

    def __getitem__(self, metric: str) -> tuple[str, str]:
        statistic, loss = statistic_and_loss(metric)
        # A number of the user's own stands under its whole name.
        return self.name(loss), "value" if statistic == "value" else self._columns[statistic]

    def name(self, loss: str) -> str:
        """What a loss is called in the record."""
        name = self.names[loss]
        if not self._warned and name != _one_line(loss):
            self._warned = True
            warn(f"the record has a name like {loss!r} already, so this one is {name!r} there")
        return name


class LineTemplate:
    """The lines of all rows that carry the same metrics: one template, made once.

    >>> places = [("G", "loss"), ("G", "weight"), ("lr", "value")]
    >>> template = LineTemplate(places, ["loss", "weight", "value"])
    >>> print(template.text(7, 0.5, {"loss/G": 0.1, "weight/G": 1.0, "lr": 1e-3}), end="")
    7,0.5,G,0.1,1.0,
    7,0.5,lr,,,0.001
    """

    def __init__(self, places: Sequence[tuple[str, str]], columns: Sequence[str]) -> None:
        lines = _cells(places)
        self._template = "".join(_template(loss, cells, columns) for loss, cells in lines.items())
        self._pick = itemgetter(*_order(lines, columns))

    def text(self, step: int, time: float, metrics: Metrics) -> str:
        """The lines of one row."""
        values: Any = metrics.values()
        if not _NUMBERS.issuperset(map(type, values)):
            values = [_number(name, value) for name, value in metrics.items()]
        # A float prints as the shortest text that reads back as the same float.
        cells: tuple[Any, ...] = self._pick((f"{int(step)},{float(time)!r},", *values))
        return self._template % cells


def quoted(text: str) -> str:
    """The text as a cell of CSV."""
    if "," in text or '"' in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _cells(places: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """For each loss its columns, and where in the row their values are, counted from 1."""
    lines: dict[str, dict[str, int]] = {}
    for index, (loss, column) in enumerate(places, 1):
        lines.setdefault(loss, {})[column] = index
    return lines


def _order(lines: dict[str, dict[str, int]], columns: Sequence[str]) -> Iterator[int]:
    """Which value of the row comes next, line by line; 0 is the step and time."""
    for cells in lines.values():
        yield 0
        yield from (cells[column] for column in columns if column in cells)


def _template(loss: str, cells: dict[str, int], columns: Sequence[str]) -> str:
    values = ",".join("%s" if column in cells else "" for column in columns)
    return f"%s{quoted(loss).replace('%', '%%')},{values}\n"


def _one_line(text: str) -> str:
    """The text without what would end a line, or what a file cannot hold."""
    text = text.translate({ord(character): " " for character in "\r\n\0"})
    return text.encode(errors="backslashreplace").decode()


def _number(name: str, value: Any) -> float | str:
    """Exactly the value, as a plain number; an empty cell if it is none."""
    try:
        return exact(value)
    except Exception as error:  # every array library raises another one
        warn(f"{name} is a number; got {type(value).__name__} ({error}). Its cells stay empty.")
        return ""
