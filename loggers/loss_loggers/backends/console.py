"""A line on the terminal, or the words behind a progress bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from loss_loggers.arguments import checked_count
from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.text import printable

if TYPE_CHECKING:
    from loss_loggers.base._protocol import Means, Metrics


class Bar(Protocol):
    """A progress bar with words behind it, such as tqdm's."""

    def set_postfix(self, ordered_dict: Any = ..., refresh: bool | None = ...) -> object:
        """Show these words."""
        ...


class ConsoleLogger(BaseLogger):
    """Show the losses, and their weights, every so many steps.

    With a `bar` they stand behind it (it is redrawn in its own time), else on a line of `stream`,
    which is standard error unless told otherwise. Columns keep their width, so that a jump shows.

    >>> logger = ConsoleLogger(every=50, stream=sys.stdout)
    >>> logger.log_metrics({"loss/G": 0.693147, "weight/G": 1 / 3, "mean/G": 0.7}, step=0)
    step       0 | G    0.6931 w 0.333
    >>> logger.log_metrics({"loss/G": 0.5, "loss/D": float("nan"), "lr": 2e-4}, step=50)
    step      50 | G    0.5000 | D       nan | lr 2.000e-04
    >>> logger.log_epoch(0, {"G": (0.6, 1600)}, step=99)
    step      99 | epoch 0 | G    0.6000
    """

    def __init__(
        self, every: int = 50, stream: TextIO | None = None, bar: Bar | None = None
    ) -> None:
        self._every = checked_count(every, 1, "every", "steps")
        self._stream = stream
        self._bar = bar
        self._shown: dict[str, str] = {}

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Show one row, if it is its turn."""
        if step % self._every == 0:
            words = _words(metrics)
            if self._bar is None:
                self._print(step, words)
            else:
                # Trackers that share a bar each bring a row of their own.
                self._shown |= words
                self._bar.set_postfix(self._shown, refresh=False)

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Show the means of an epoch on a line of their own; behind a bar, only its number."""
        if self._bar is None:
            words = {name: _number(mean) for name, (mean, _) in means.items()}
            self._print(step, {"epoch": str(epoch), **words})
        else:
            self._shown["epoch"] = str(epoch)

    def _print(self, step: int, words: dict[str, str]) -> None:
        line = " | ".join([f"step {step:7d}", *(f"{name} {text}" for name, text in words.items())])
        # Looked up now, for notebooks and tests put another stream there.
        print(printable(line), file=self._stream or sys.stderr)


def _words(metrics: Metrics) -> dict[str, str]:
    """What to say about each loss, and about the user's own numbers."""
    words = {}
    for name, value in metrics.items():
        statistic, slash, loss = name.partition("/")
        if not slash:
            # A loss may have the name of a number of the user's own.
            words[f"value/{name}" if f"loss/{name}" in metrics else name] = _number(value)
        elif statistic == "loss":
            words[loss] = _number(value) + _weight(metrics.get(f"weight/{loss}"))
    return words


def _weight(weight: float | None) -> str:
    return "" if weight is None else f" w {weight:.3f}"


def _number(value: float | str) -> str:
    """Four digits behind the point, or three and an exponent where those would say nothing.

    >>> [_number(value) for value in (0.6931, 12345.0, 1e-5, 0.0)]
    ['   0.6931', '1.234e+04', '1.000e-05', '   0.0000']
    """
    if isinstance(value, str):
        return value
    plain = value == 0 or 1e-3 <= abs(value) < 1e4
    return f"{value:9.4f}" if plain else f"{value:9.3e}"
