"""Other names for the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.base._epoch_row import EpochRow, epoch_row

from .tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers.base._pending import Pending
    from loss_loggers.base._protocol import Loggers, Means, Metrics, Row


class Rename(Tee):
    """Send each row on with other names, for a dashboard that expects them.

    The template is filled with `{stat}` and `{loss}`, which a name has before and after its first
    slash. A name without a slash (`lr`) stays as it is.

    >>> from loss_loggers import MemoryLogger
    >>> memory = MemoryLogger()
    >>> logger = Rename("{loss}_{stat}", memory)
    >>> logger.log_metrics({"loss/G": 0.5, "cov_weight/G": 0.25, "lr": 1e-3}, step=0)
    >>> memory.rows[0][2]
    {'G_loss': 0.5, 'G_cov_weight': 0.25, 'lr': 0.001}
    """

    def __init__(self, template: str, logger: Loggers) -> None:
        super().__init__(logger)
        self._names = _Names(template)

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Send one row under its new names."""
        super().log_metrics(self._renamed(metrics), step=step)

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Send rows under their new names."""
        super().log_rows(self._renamed_rows(rows))

    def log_pending(self, pending: Pending) -> None:
        """Send rows under their new names to each that does not have them yet."""
        super().log_pending(pending.child(lambda: self._renamed_rows(pending)))

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Send the means of an epoch as a row, for only a row has names to change."""
        super().log_metrics(self._renamed(epoch_row(epoch, means)), step=step)

    def known_rows(self, steps: frozenset[int]) -> Callable[[Row], bool] | None:
        """What tells whether all have a row under its new names, if each can read that."""
        known = super().known_rows(steps)
        if known is None:
            return None
        return lambda row: known((row[0], row[1], self._renamed(row[2])))

    def _renamed_rows(self, rows: Sequence[Row]) -> list[Row]:
        return [(step, time, self._renamed(metrics)) for step, time, metrics in rows]

    def _renamed(self, metrics: Metrics) -> Metrics:
        names = self._names
        renamed = {names[name]: value for name, value in metrics.items()}
        return EpochRow(renamed) if isinstance(metrics, EpochRow) else renamed


class _Names(dict[str, str]):
    """New names by old ones, each made once."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._old: dict[str, str] = {}
        _check(template)

    def __missing__(self, old: str) -> str:
        stat, slash, loss = old.partition("/")
        new = self._template.format(stat=stat, loss=loss) if slash else old
        other = self._old.setdefault(new, old)
        if other != old:
            msg = f"each metric needs a name of its own; {other!r} and {old!r} both become {new!r}"
            raise ValueError(msg)
        self[old] = new
        return new


def _check(template: str) -> None:
    msg = f"a template has {{stat}} and {{loss}} in it, and no other field; got {template!r}"
    try:
        filled = template.format(stat="<stat>", loss="<loss>")
    except (LookupError, ValueError, AttributeError):
        raise ValueError(msg) from None
    if "<stat>" not in filled and "<loss>" not in filled:
        raise ValueError(msg)
