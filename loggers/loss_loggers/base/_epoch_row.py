"""The means of an epoch as a row of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._protocol import Means


class EpochRow(dict[str, Any]):
    """An epoch as a row of metrics, known as such wherever it goes: `epochs.csv` has it already."""

    means: Means | None = None
    """The mean and the number of samples of each loss; None once the metrics were renamed."""


def epoch_row(epoch: int, means: Means) -> EpochRow:
    """What a logger without `log_epoch` gets.

    >>> epoch_row(3, {"G": (0.5, 128)})
    {'epoch': 3, 'epoch_loss/G': 0.5}
    """
    row = EpochRow(epoch=epoch)
    row.update((f"epoch_loss/{name}", mean) for name, (mean, _) in means.items())
    row.means = means
    return row


def is_repeated(means: Means) -> bool:
    """Whether these means come again, since the call with them was interrupted.

    Who delivers them counts the calls in an attribute, `tries`.
    """
    return getattr(means, "tries", 1) > 1
